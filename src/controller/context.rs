//! What the reconcilers share: the stores, the index, the queues, the live connections, and what each object's last pass
//! left behind. All of it can be rebuilt from the cluster and Vault.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};

use super::connections::{Connections, Operator};
use super::events::Events;
use super::index::{BindingRef, Index};
use super::queue::Queue;
use crate::api::status::{BindingStatus, ConnectionStatus};
use crate::api::{VaultConnection, VaultJwtBinding};
use crate::sync::Memory;

/// What the last pass over a binding left behind.
#[derive(Default)]
pub(crate) struct BindingState {
    /// The status as it stands, also when the store has not seen it yet.
    pub(crate) status: BindingStatus,
    pub(crate) memory: Memory,
    /// Passes in a row that had something to retry.
    pub(crate) failures: u32,
    /// The resource version of our last status write, until the store has caught up with it.
    written: Option<String>,
}

#[derive(Default)]
struct ConnectionState {
    generation: Option<i64>,
    failures: u32,
    status: Option<ConnectionStatus>,
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
        let users = self.index().using(connection);
        self.trigger(users);
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

    pub(crate) fn put_state(&self, binding: &VaultJwtBinding, state: BindingState) {
        lock(&self.states).insert(binding.uid().unwrap_or_default(), state);
    }

    /// Forgets what is known of bindings that are gone.
    pub(crate) fn forget_gone_bindings(&self) {
        let present: std::collections::HashSet<String> =
            self.bindings.state().iter().filter_map(|binding| binding.uid()).collect();
        lock(&self.states).retain(|uid, _| present.contains(uid));
    }

    /// Whether a connection, by name, leads to the same Vault as another one.
    pub(crate) fn same_vault(&self, connection: &VaultConnection, other: &str) -> bool {
        connection.name_any() == other
            || self.vault_connections.get(&ObjectRef::new(other)).is_some_and(|other| {
                other.spec.address == connection.spec.address
                    && other.spec.vault_namespace == connection.spec.vault_namespace
            })
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
