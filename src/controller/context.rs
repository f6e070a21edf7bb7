//! What the reconcilers share: the stores, the index, the queues, the live connections, and what each object's last pass
//! left behind. All of it can be rebuilt from the cluster and Vault.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};

use super::connections::{Connections, Operator};
use super::contest::{Contest, Stance};
use super::events::Events;
use super::index::{BindingRef, Index};
use super::queue::Queue;
use crate::api::status::{BindingStatus, ConnectionStatus};
use crate::api::{VaultConnection, VaultJwtBinding};
use crate::desired::{self, Granted, ProblemKind, References};
use crate::sync::Memory;

/// What the last pass over a binding left behind.
#[derive(Default)]
pub(crate) struct BindingState {
    /// The status as it stands, also when the store has not seen it yet.
    pub(crate) status: BindingStatus,
    pub(crate) memory: Memory,
    /// Passes in a row that had something to retry.
    pub(crate) failures: u32,
    /// Passes in a row that collided with another writer of a KV secret.
    pub(crate) collisions: u32,
    /// The resource version of our last status write, until the store has caught up with it.
    written: Option<String>,
}

#[derive(Default)]
struct ConnectionState {
    generation: Option<i64>,
    failures: u32,
    status: Option<ConnectionStatus>,
    /// Vault's own id, as it was last told.
    cluster_id: Option<String>,
}

/// What the reconcilers share.
pub(crate) struct Context {
    pub(crate) operator: Operator,
    pub(crate) cluster: String,
    pub(crate) events: Events,
    pub(crate) connections: Connections,
    pub(crate) bindings: Store<VaultJwtBinding>,
    pub(crate) vault_connections: Store<VaultConnection>,
    pub(crate) namespaces: Store<PartialObjectMeta<Namespace>>,
    pub(crate) binding_queue: Queue<VaultJwtBinding>,
    pub(crate) connection_queue: Queue<VaultConnection>,
    pub(crate) index: Mutex<Index>,
    /// Bindings whose present form cannot be decoded: their last form still claims, and is not worked on.
    pub(crate) broken: Mutex<HashSet<BindingRef>>,
    pub(crate) states: Mutex<HashMap<String, BindingState>>,
    pub(crate) connection_states: Mutex<ConnectionStates>,
}

/// What the last passes over connections left behind, by uid.
#[derive(Default)]
pub(crate) struct ConnectionStates(HashMap<String, ConnectionState>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    pub(crate) fn trigger(&self, bindings: impl IntoIterator<Item = BindingRef>) {
        for binding in bindings {
            self.binding_queue.push(binding);
        }
    }

    pub(crate) fn trigger_users_of(&self, connection: &str) {
        let index = self.index();
        self.trigger(index.with_rivals(index.using(connection)));
    }

    /// Looks at a connection that a binding had trouble with: it is asked for all of them until it is well again, and
    /// then they are told.
    pub(crate) fn doubt(&self, connection: &str) {
        if let Some(Ok(live)) = self.connections.get(connection)
            && live.trouble().is_none()
        {
            self.connection_queue.push(ObjectRef::new(connection));
        }
    }

    /// Looks at the bindings of a namespace, and at those that claim the same as they do.
    pub(crate) fn trigger_namespace(&self, namespace: &str) {
        let index = self.index();
        self.trigger(index.with_rivals(index.in_namespace(namespace)));
    }

    pub(crate) fn set_broken(&self, binding: BindingRef, broken: bool) {
        let mut all = lock(&self.broken);
        if broken {
            all.insert(binding);
        } else {
            all.remove(&binding);
        }
    }

    pub(crate) fn is_broken(&self, binding: &BindingRef) -> bool {
        lock(&self.broken).contains(binding)
    }

    /// Takes what the last pass left; it is put back at the end of this one.
    pub(crate) fn take_state(&self, binding: &VaultJwtBinding) -> BindingState {
        let mut state = lock(&self.states).remove(&binding.uid().unwrap_or_default()).unwrap_or_default();
        // Until the store has seen our own last write it is the older of the two.
        let caught_up = state.written.is_none() || state.written == binding.resource_version();
        if caught_up {
            state.written = None;
            state.status = binding.status.clone().unwrap_or_else(unobserved);
        }
        state
    }

    /// Keeps what a pass left for the next one, unless the binding is gone.
    pub(crate) fn put_state(&self, binding: &VaultJwtBinding, mut state: BindingState) {
        if state.written.is_none() {
            // The store has the same, and a thousand bindings need not have it twice.
            state.status = BindingStatus::default();
        }
        let uid = binding.uid().unwrap_or_default();
        let live = self.bindings.get(&BindingRef::from_obj(binding)).and_then(|live| live.uid());
        if live.is_some_and(|live| live == uid) {
            lock(&self.states).insert(uid, state);
        }
    }

    /// Forgets what is known of a binding that is gone.
    pub(crate) fn forget_binding(&self, binding: &VaultJwtBinding) {
        lock(&self.states).remove(&binding.uid().unwrap_or_default());
    }

    /// Forgets what is known of all bindings that are gone: deletions may be missed while a watch is down.
    pub(crate) fn forget_gone_bindings(&self) {
        let present: HashSet<String> = self.bindings.state().iter().filter_map(|binding| binding.uid()).collect();
        lock(&self.states).retain(|uid, _| present.contains(uid));
    }

    /// How the claims of a binding stand against those of others on the same Vault.
    pub(crate) fn contest(&self, binding: &BindingRef, connection: &VaultConnection) -> Contest {
        let same_vault = |other: &str| {
            let other = self.vault_connections.get(&ObjectRef::new(other));
            other.is_some_and(|other| self.same_vault(connection, &other))
        };
        self.index().contest(binding, &self.cluster, same_vault, |other| self.stance(other))
    }

    /// What counts of a binding's claims. Asked of the present spec and grants each time, so that no pass depends on
    /// which other one came first.
    fn stance(&self, binding: &BindingRef) -> Option<Stance> {
        let binding = self.bindings.get(binding)?;
        let theirs = self.vault_connections.get(&ObjectRef::new(&binding.spec.connection_ref.name))?;
        let namespace = binding.namespace().unwrap_or_default();
        let labels = self.labels_of(&namespace);
        let granted = Granted::select(&theirs.spec.grants, &namespace, &labels);
        let managed = binding.status.as_ref().map(|status| status.managed_objects.as_slice()).unwrap_or_default();
        let problems = desired::desired(&binding.spec, &References::new(), &granted).problems;
        let refused = |problem: &desired::Problem| match problem.kind {
            ProblemKind::NotGranted => true,
            // An edit that goes wrong gives nothing away.
            ProblemKind::Invalid => !managed.iter().any(|managed| Some(managed.id()) == problem.object),
            ProblemKind::ReferenceNotFound | ProblemKind::ReferenceInvalid => false,
        };
        let refused = problems.into_iter().filter(refused).filter_map(|problem| problem.object).collect();
        let deleting = binding.metadata.deletion_timestamp.is_some();
        Some(Stance { refused, suspended: binding.spec.suspend, deleting })
    }

    /// Whether two connections lead to the same Vault: by its own id, where both know it, or by the address.
    fn same_vault(&self, one: &VaultConnection, other: &VaultConnection) -> bool {
        let id = |of: &VaultConnection| {
            lock(&self.connection_states)
                .0
                .get(&of.uid().unwrap_or_default())
                .and_then(|state| state.cluster_id.clone())
        };
        let at = |of: &VaultConnection| of.spec.address.trim_end_matches('/').to_ascii_lowercase();
        let namespace =
            |of: &VaultConnection| of.spec.vault_namespace.as_deref().unwrap_or_default().trim_matches('/').to_owned();
        let by_id = || id(one).is_some_and(|known| Some(known) == id(other));
        namespace(one) == namespace(other) && (at(one) == at(other) || by_id())
    }

    /// Whether a connection is known not to be there, or was opened or refused since the start.
    pub(crate) fn has_looked_at(&self, connection: &str) -> bool {
        self.vault_connections.get(&ObjectRef::new(connection)).is_none() || self.connections.get(connection).is_some()
    }

    /// The labels of a namespace.
    pub(crate) fn labels_of(&self, namespace: &str) -> BTreeMap<String, String> {
        self.namespaces
            .get(&ObjectRef::new(namespace))
            .and_then(|found| found.metadata.labels.clone())
            .unwrap_or_default()
    }

    /// Whether this generation of a connection was looked at before.
    pub(crate) fn has_seen(&self, connection: &VaultConnection) -> bool {
        let mut states = lock(&self.connection_states);
        let state = states.0.entry(connection.uid().unwrap_or_default()).or_default();
        let seen = state.generation == connection.meta().generation;
        state.generation = connection.meta().generation;
        seen
    }

    pub(crate) fn count_failures(&self, connection: &VaultConnection, failed: bool) -> u32 {
        let mut states = lock(&self.connection_states);
        let state = states.0.entry(connection.uid().unwrap_or_default()).or_default();
        state.failures = if failed { state.failures.saturating_add(1) } else { 0 };
        state.failures
    }

    pub(crate) fn last_connection_status(&self, connection: &VaultConnection) -> ConnectionStatus {
        let states = lock(&self.connection_states);
        let known = states.0.get(&connection.uid().unwrap_or_default()).and_then(|state| state.status.clone());
        known.or_else(|| connection.status.clone()).unwrap_or_default()
    }

    pub(crate) fn remember_connection_status(&self, connection: &VaultConnection, status: ConnectionStatus) {
        let mut states = lock(&self.connection_states);
        states.0.entry(connection.uid().unwrap_or_default()).or_default().status = Some(status);
    }

    /// Keeps what tells this Vault from others, whatever its address, also for when it is away.
    pub(crate) fn remember_cluster_id(&self, connection: &VaultConnection, id: Option<String>) {
        if id.is_some() {
            let mut states = lock(&self.connection_states);
            states.0.entry(connection.uid().unwrap_or_default()).or_default().cluster_id = id;
        }
    }

    pub(crate) fn forget_connection(&self, connection: &VaultConnection) {
        lock(&self.connection_states).0.remove(&connection.uid().unwrap_or_default());
    }
}

impl BindingState {
    /// Records a status that was written.
    pub(crate) fn wrote(&mut self, status: BindingStatus, resource_version: Option<String>) {
        self.status = status;
        self.written = resource_version;
    }
}

fn unobserved() -> BindingStatus {
    BindingStatus { observed_generation: -1, ..BindingStatus::default() }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::conditions::{ConditionType, Reason};
    use crate::controller::binding::report_panic;
    use crate::controller::outcome::{Class, Issue};
    use crate::controller::stand_in::ApiServer;

    fn context(apiserver: &ApiServer, bindings: &[VaultJwtBinding]) -> Context {
        let (store, mut writer) = reflector::store();
        for binding in bindings {
            writer.apply_watcher_event(&Event::Apply(binding.clone()));
        }
        let client = apiserver.client();
        Context {
            operator: Operator { client: client.clone(), service_account: None, concurrency: 1 },
            cluster: "c".to_owned(),
            events: Events::new(client),
            connections: Connections::default(),
            bindings: store,
            vault_connections: reflector::store().0,
            namespaces: reflector::store().0,
            binding_queue: Queue::new().0,
            connection_queue: Queue::new().0,
            index: Mutex::default(),
            broken: Mutex::default(),
            states: Mutex::default(),
            connection_states: Mutex::default(),
        }
    }

    fn connection(name: &str, address: &str) -> VaultConnection {
        serde_json::from_value(json!({
            "apiVersion": "vault.badal.io/v1alpha1", "kind": "VaultConnection", "metadata": {"name": name, "uid": name},
            "spec": {"address": address, "auth": {"kubernetes": {"role": "r"}}},
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn two_names_of_one_vault_stay_one_while_it_is_away() {
        let context = context(&ApiServer::start().await, &[]);
        let (one, other) = (connection("one", "http://vault:8200"), connection("other", "http://10.0.0.1:8200"));
        assert!(!context.same_vault(&one, &other));
        context.remember_cluster_id(&one, Some("id".into()));
        context.remember_cluster_id(&other, Some("id".into()));
        assert!(context.same_vault(&one, &other));
        context.remember_cluster_id(&other, None);
        let away = Issue::new(Class::Waiting, ConditionType::Authenticated, Reason::ReferenceNotFound, "");
        context.connections.fail("other", away).await;
        assert!(context.same_vault(&one, &other));
    }

    #[tokio::test]
    async fn a_panic_leaves_the_record_of_what_is_owned() {
        let raw = |version: &str, status: Value| {
            json!({
                "apiVersion": "vault.badal.io/v1alpha1", "kind": "VaultJwtBinding",
                "metadata": {"name": "b", "namespace": "ns", "uid": "u", "resourceVersion": version, "generation": 1},
                "spec": {"connectionRef": {"name": "main"}, "auth": {"mount": "jwt"}},
                "status": status,
            })
        };
        let path = "/apis/vault.badal.io/v1alpha1/namespaces/ns/vaultjwtbindings/b";
        let record = json!([{"kind": "Role", "path": "jwt/r", "state": "Pending"}]);
        let apiserver = ApiServer::start().await;
        apiserver.answer(path, 200, &raw("2", json!({"managedObjects": record})));
        apiserver.answer(&format!("{path}/status"), 200, &raw("3", Value::Null));
        // The store has not seen what the pass announced before it panicked.
        let binding: VaultJwtBinding = serde_json::from_value(raw("1", Value::Null)).unwrap();
        let context = context(&apiserver, std::slice::from_ref(&binding));
        report_panic(&binding, &context).await;
        let requests = apiserver.requests.lock().unwrap();
        let (method, _, patch) = requests.last().unwrap();
        assert_eq!((method.as_str(), &patch["status"]["managedObjects"]), ("PATCH", &record));
        assert!(patch["status"]["conditions"].to_string().contains("InternalError"));
        assert_eq!(context.take_state(&binding).status.managed_objects.len(), 1, "nor does the next pass forget it");
    }
}
