//! One test's world in the shared lab: a namespace, an issuer, names in Vault that nobody else uses, and a watch that
//! holds every status it sees against the invariants of kstatus and Flux.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use vault_jwt_operator::api::status::ConnectionStatus;
use vault_jwt_operator::api::{VaultConnection, VaultJwtBinding};

use super::invariants;
use crate::lab::operator::Operator;
use crate::lab::{Issuer, KUBERNETES_AUTH, Lab, VaultApi, eventually, unique};

const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
pub(crate) struct Scenario {
    pub(crate) lab: &'static Lab,
    pub(crate) kube: Client,
    pub(crate) vault: VaultApi,
    pub(crate) issuer: Issuer,
    pub(crate) namespace: String,
    /// The jwt mount, the KV mount, and the prefix of role and policy names.
    pub(crate) mount: String,
    pub(crate) kv: String,
    pub(crate) prefix: String,
    pub(crate) connection: String,
    /// The role at Vault's `kubernetes` method that the operator logs in with.
    pub(crate) role: String,
    watch: tokio::task::JoinHandle<()>,
    violations: Arc<Mutex<Vec<String>>>,
}

/// The one operator of the shared lab, and the role that it logs in with.
async fn operator(lab: &'static Lab) -> &'static str {
    static OPERATOR: OnceCell<(Operator, String)> = OnceCell::const_new();
    let (_, role) = OPERATOR
        .get_or_init(async || {
            let namespace = lab.namespace().await.unwrap();
            let role = lab.operator_account(&namespace).await.unwrap();
            let account = format!("{namespace}/operator");
            let operator = Operator::start(lab, &["--service-account", &account]).unwrap();
            operator.wait_for_log("Watching").await.unwrap();
            (operator, role)
        })
        .await;
    role
}

impl Scenario {
    /// A world with a KV version 2 engine, a connection that grants all its names, and a Secret `tfc-token`.
    pub(crate) async fn start() -> Self {
        let lab = Lab::shared().await;
        Self::on(lab, operator(lab).await.to_owned()).await
    }

    /// The same in a lab where an operator logs in with this role at Vault's `kubernetes` method.
    pub(crate) async fn on(lab: &'static Lab, role: String) -> Self {
        let namespace = lab.namespace().await.unwrap();
        let (mount, kv, connection) = (unique("jwt"), unique("kv"), unique("main"));
        let kube = lab.kube().await;
        let vault = lab.vault();
        vault.write(&format!("sys/mounts/{kv}"), &json!({"type": "kv", "options": {"version": "2"}})).await;
        let violations = Arc::<Mutex<Vec<String>>>::default();
        let watch = tokio::spawn(watch(kube.clone(), namespace.clone(), violations.clone()));
        let prefix = namespace.clone();
        let scenario = Self {
            lab,
            kube,
            vault,
            issuer: Issuer::start().unwrap(),
            namespace,
            mount,
            kv,
            prefix,
            connection,
            role,
            watch,
            violations,
        };
        scenario.secret("tfc-token", &json!({"token": "s3cr3t-value"})).await;
        scenario.connect(&scenario.connection_spec(&scenario.role)).await;
        scenario
    }

    /// A connection that grants all names of this world.
    pub(crate) fn connection_spec(&self, role: &str) -> Value {
        json!({
            "address": self.lab.vault_server.address(),
            "auth": {"kubernetes": {"mount": KUBERNETES_AUTH, "role": role}},
            "limits": {"requestsPerSecond": 1000, "concurrentRequests": 16},
            "grants": [self.grant()],
        })
    }

    /// The grant for all names of this world.
    pub(crate) fn grant(&self) -> Value {
        let names = format!("{}-*", self.prefix);
        json!({
            "namespaces": {"names": [self.namespace]},
            "authMounts": [{"path": self.mount, "manageConfig": true, "enable": true}],
            "roles": [names],
            "policies": [names],
            "attachablePolicies": [names],
            "policyRules": [{"path": format!("{}/*", self.kv), "capabilities": ["create", "read", "update", "patch", "delete", "list"]}],
            "kv": [{"mount": self.kv, "paths": ["app/*"]}],
            "issuerHosts": [self.issuer.host()],
            "allowHttp": true,
            "maxTokenTtl": "24h",
        })
    }

    /// The grant of this world with these changes.
    pub(crate) async fn grant_this(&self, change: &Value) {
        let mut connection = self.connection_spec(&self.role);
        let grant = connection["grants"][0].as_object_mut().unwrap();
        grant.extend(change.as_object().unwrap().clone());
        self.connect(&connection).await;
    }

    /// A policy that the apiserver takes and the operator does not: its text is blank. It needs `rawPolicies`.
    pub(crate) fn broken_policy(&self) -> Value {
        json!({"name": self.name("backend"), "hcl": "\u{2003}"})
    }

    /// The founding case in this world's names.
    pub(crate) fn spec(&self) -> Value {
        let name = self.name("backend");
        json!({
            "connectionRef": {"name": self.connection},
            "interval": "1h",
            "auth": {"mount": self.mount, "enable": true, "config": {
                "jwksUrl": self.issuer.jwks_url(), "boundIssuer": self.issuer.url(), "defaultRole": name,
                "supportedAlgorithms": ["ES256"],
            }},
            "roles": [{
                "name": name, "boundAudiences": ["backstage"], "boundSubject": "backstage-backend", "userClaim": "sub",
                "tokenPolicies": [name], "tokenTtl": "1h", "tokenMaxTtl": "24h",
                "clockSkewLeeway": "60s", "expirationLeeway": "60s", "notBeforeLeeway": "Off",
            }],
            "policies": [{"name": name, "rules": [{"path": format!("{}/data/app/*", self.kv), "capabilities": ["read"]}]}],
            "kv": [{"mount": self.kv, "path": "app/tfc-token", "data": [
                {"key": "Badal_devex", "secretKeyRef": {"name": "tfc-token", "key": "token"}},
            ]}],
        })
    }

    /// A role or policy name of this world.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    pub(crate) async fn secret(&self, name: &str, data: &Value) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        let api = Api::<Secret>::namespaced(self.kube.clone(), &self.namespace);
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&secret)).await.unwrap();
    }

    pub(crate) async fn connect(&self, spec: &Value) {
        self.connect_as(&self.connection, spec).await;
    }

    /// A connection of this name.
    pub(crate) async fn connect_as(&self, name: &str, spec: &Value) {
        let object = json!({
            "apiVersion": "vault.badal.io/v1alpha1", "kind": "VaultConnection",
            "metadata": {"name": name}, "spec": spec,
        });
        let resource = ApiResource::erase::<VaultConnection>(&());
        let api = Api::<DynamicObject>::all_with(self.kube.clone(), &resource);
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await.unwrap();
    }

    pub(crate) fn bindings(&self) -> Api<VaultJwtBinding> {
        Api::namespaced(self.kube.clone(), &self.namespace)
    }

    fn dynamic(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.kube.clone(), &self.namespace, &ApiResource::erase::<VaultJwtBinding>(&()))
    }

    /// Applies a binding.
    pub(crate) async fn apply(&self, name: &str, spec: &Value) {
        self.try_apply(name, spec).await.unwrap();
    }

    /// Applies a binding, if the apiserver takes it.
    pub(crate) async fn try_apply(&self, name: &str, spec: &Value) -> kube::Result<DynamicObject> {
        let object = json!({
            "apiVersion": "vault.badal.io/v1alpha1", "kind": "VaultJwtBinding",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": spec,
        });
        self.dynamic().patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await
    }

    /// Waits until a binding is as `what` says.
    pub(crate) async fn wait(&self, name: &str, what: &str, is: impl Fn(&VaultJwtBinding) -> bool) -> VaultJwtBinding {
        let mut last = None;
        let found = eventually(PATIENCE, what, async || {
            let binding = self.bindings().get_opt(name).await.ok()??;
            let holds = is(&binding);
            last = Some(binding);
            holds.then_some(())
        })
        .await;
        if let Err(error) = found {
            panic!("{error}; last status: {}", serde_json::to_string_pretty(&last.and_then(|b| b.status)).unwrap());
        }
        last.unwrap()
    }

    /// Waits until the status of this world's connection is as `what` says.
    pub(crate) async fn wait_connection(&self, what: &str, is: impl Fn(&ConnectionStatus) -> bool) -> ConnectionStatus {
        let connections = Api::<VaultConnection>::all(self.kube.clone());
        let look = async || connections.get_opt(&self.connection).await.ok()??.status.filter(|status| is(status));
        eventually(PATIENCE, what, look).await.unwrap()
    }

    /// Waits until something holds.
    pub(crate) async fn eventually(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        eventually(PATIENCE, what, async || holds().await.then_some(())).await.unwrap();
    }

    /// Waits until a binding is ready in its present generation.
    pub(crate) async fn ready(&self, name: &str) -> VaultJwtBinding {
        self.wait(name, &format!("{name} is ready"), |binding| {
            condition(binding, "Ready") == Some(("True".into(), "Succeeded".into()))
                && binding.status.as_ref().map(|status| status.observed_generation) == binding.metadata.generation
        })
        .await
    }

    /// Waits until `Ready` is false for this reason, in the binding's present generation.
    pub(crate) async fn not_ready(&self, name: &str, reason: &str) -> VaultJwtBinding {
        self.wait(name, &format!("{name} is not ready: {reason}"), |binding| {
            condition(binding, "Ready") == Some(("False".into(), reason.into()))
        })
        .await
    }

    /// Waits until a binding's present generation was judged, whichever way.
    pub(crate) async fn judged(&self, name: &str) -> VaultJwtBinding {
        self.wait(name, &format!("{name} is judged"), |binding| {
            binding.status.as_ref().map(|status| status.observed_generation) == binding.metadata.generation
        })
        .await
    }

    /// Asks for a pass and waits until it is done.
    pub(crate) async fn nudge(&self, name: &str) -> VaultJwtBinding {
        let token = unique("at");
        let patch = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}});
        self.dynamic().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        self.wait(name, &format!("{name} handled {token}"), |binding| {
            binding.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_deref()) == Some(&token)
        })
        .await
    }

    /// Deletes a binding and waits until it is gone.
    pub(crate) async fn delete(&self, name: &str) {
        self.bindings().delete(name, &DeleteParams::default()).await.unwrap();
        self.gone(name).await;
    }

    /// Waits until a binding is gone.
    pub(crate) async fn gone(&self, name: &str) {
        let mut last = None;
        let gone = eventually(PATIENCE, &format!("{name} is gone"), async || {
            last = self.bindings().get_opt(name).await.unwrap();
            last.is_none().then_some(())
        })
        .await;
        assert!(gone.is_ok(), "{name} is not gone: {:#?}", last.and_then(|binding| binding.status));
    }

    /// The notes of all events about a binding with this reason.
    pub(crate) async fn events(&self, name: &str, reason: &str) -> Vec<String> {
        use k8s_openapi::api::events::v1::Event;
        let events = Api::<Event>::namespaced(self.kube.clone(), &self.namespace);
        let all = events.list(&kube::api::ListParams::default()).await.unwrap();
        let about = |event: &Event| event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(name);
        all.items
            .into_iter()
            .filter(|event| about(event) && event.reason.as_deref() == Some(reason))
            .filter_map(|event| event.note)
            .collect()
    }

    /// The same, once there is one.
    pub(crate) async fn events_soon(&self, name: &str, reason: &str) -> Vec<String> {
        let mut all = Vec::new();
        self.eventually(&format!("an event {reason} of {name}"), async || {
            all = self.events(name, reason).await;
            !all.is_empty()
        })
        .await;
        all
    }

    /// A role of this world as Vault has it.
    pub(crate) async fn role(&self, name: &str) -> (u16, Value) {
        let (status, body) = self.vault.get(&format!("auth/{}/role/{}", self.mount, self.name(name))).await;
        (status, body["data"].clone())
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        self.watch.abort();
        let violations = self.violations.lock().unwrap();
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "statuses broke the invariants:\n{}", violations.join("\n"));
        }
    }
}

/// Status and reason of a condition.
pub(crate) fn condition(binding: &VaultJwtBinding, type_: &str) -> Option<(String, String)> {
    let condition = binding.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == type_)?;
    Some((format!("{:?}", condition.status), condition.reason.clone()))
}

/// The message of a condition.
pub(crate) fn message(binding: &VaultJwtBinding, type_: &str) -> String {
    let conditions = binding.status.iter().flat_map(|status| &status.conditions);
    conditions.filter(|condition| condition.type_ == type_).map(|condition| condition.message.clone()).collect()
}

async fn watch(kube: Client, namespace: String, violations: Arc<Mutex<Vec<String>>>) {
    let resource = ApiResource::erase::<VaultJwtBinding>(&());
    let api = Api::<DynamicObject>::namespaced_with(kube, &namespace, &resource);
    let mut stream = Box::pin(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
    let mut last = std::collections::HashMap::new();
    while let Some(object) = stream.next().await {
        let Ok(object) = object else { continue };
        // A new generation with the status of the old one is the user's doing, and nothing that was written.
        let status = object.data["status"].clone();
        if last.insert(object.uid(), status.clone()).as_ref() == Some(&status) {
            continue;
        }
        let found = invariants::broken(object.metadata.generation.unwrap_or_default(), &object.data["status"]);
        if !found.is_empty() {
            let status = &object.data["status"];
            violations.lock().unwrap().push(format!("{}: {}\n{status:#}", object.name_any(), found.join(", ")));
        }
    }
}
