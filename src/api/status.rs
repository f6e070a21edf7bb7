//! The status of both resources. It holds names and reasons, never a secret value, and nothing that moves while nothing
//! changes.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditions::Condition;

/// What the operator found and did for a binding.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BindingStatus {
    /// observedGeneration of the spec that was last dealt with to the end; -1 before that.
    #[schemars(range(min = -1))]
    #[serde(default = "unobserved")]
    pub observed_generation: i64,
    /// conditions: Ready, Reconciling, Stalled, Accepted, ResolvedRefs, Synced, LoginHealthy.
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// lastHandledReconcileAt is the last value of the annotation reconcile.fluxcd.io/requestedAt that was acted on.
    #[schemars(length(max = 262_144))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// managedObjects in Vault that this binding created or adopted, or is about to.
    #[schemars(length(max = 2048))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managed_objects: Vec<ManagedObject>,
    /// drift between Vault and the spec that was found and not put right.
    #[schemars(length(max = 256))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    /// login health.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginStatus>,
}

/// What kind of Vault object it is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// An auth mount.
    AuthMount,
    /// An ACL policy.
    Policy,
    /// A KV secret, or some of its keys.
    Kv,
    /// The config of a jwt mount.
    JwtConfig,
    /// A role of a jwt mount.
    Role,
}

/// What is known of a managed object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectState {
    /// About to be written for the first time.
    Pending,
    /// Written by this binding.
    Created,
    /// Existed before and was taken over.
    Adopted,
}

/// A Vault object that a binding owns.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ManagedObject {
    /// kind of the object.
    pub kind: ObjectKind,
    /// path of the object: the mount, `<mount>/<role>`, the policy's name, or `<mount>/<path>` of a KV secret.
    #[schemars(length(max = 2048))]
    pub path: String,
    /// state of the object.
    pub state: ObjectState,
    /// mount of a KV secret.
    #[schemars(length(max = 1024))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// keys of a KV secret that are owned; none when the whole secret is.
    #[schemars(length(max = 1024), inner(length(max = 1024)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// appliedGeneration of the spec that the object was last equal to.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_generation: Option<i64>,
}

/// A difference between Vault and the spec.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// object that differs, e.g. `Role jwt/backstage-backend`.
    #[schemars(length(max = 4096))]
    pub object: String,
    /// field that differs, in Vault's name.
    #[schemars(length(max = 4096))]
    pub field: String,
    /// expected value; `(sensitive)` for a secret one.
    #[schemars(length(max = 4096))]
    pub expected: String,
    /// found value; `(sensitive)` for a secret one.
    #[schemars(length(max = 4096))]
    pub found: String,
}

/// Whether a login works.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LoginStatus {
    /// outcome of the last probes: Accepted, Rejected or Unknown.
    #[schemars(length(max = 64))]
    pub outcome: String,
    /// role that was logged in with.
    #[schemars(length(max = 1024))]
    pub role: String,
    /// lastTransitionTime at which the outcome changed.
    #[schemars(length(max = 64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<String>,
    /// findings, all of them.
    #[schemars(length(max = 128))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// One reason why a login does not work, or might not.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// reason, stable.
    #[schemars(length(max = 128))]
    pub reason: String,
    /// severity: Error, Warning or Info.
    #[schemars(length(max = 32))]
    pub severity: String,
    /// where it is: object and field.
    #[schemars(length(max = 4096))]
    pub r#where: String,
    /// expected value.
    #[schemars(length(max = 4096))]
    pub expected: String,
    /// found value.
    #[schemars(length(max = 4096))]
    pub found: String,
    /// remedy: what to do.
    #[schemars(length(max = 4096))]
    pub remedy: String,
}

/// What the operator found of a connection.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStatus {
    /// observedGeneration of the spec that was last dealt with to the end; -1 before that.
    #[schemars(range(min = -1))]
    #[serde(default = "unobserved")]
    pub observed_generation: i64,
    /// conditions: Ready, Reconciling, Stalled, Reachable, Authenticated.
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// lastHandledReconcileAt is the last value of the annotation reconcile.fluxcd.io/requestedAt that was acted on.
    #[schemars(length(max = 262_144))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

const fn unobserved() -> i64 {
    -1
}
