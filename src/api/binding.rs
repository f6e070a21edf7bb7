//! `VaultJwtBinding`: which JWT issuer, which roles with which leeways, which policies and which KV entries must exist
//! in Vault, and how it is proved that a login works. Namespaced, written by the team, lives in Git.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::DurationString;
use super::references::ConnectionRef;
use super::schema::{Interval, Timeout};
use super::status::BindingStatus;

mod auth;
mod kv;
mod login;
mod policy;
mod role;

pub use auth::{Algorithm, AuthSpec, ConfigSpec, JwksPair};
pub use kv::{KvItem, KvSpec, Ownership};
pub use login::{
    ClaimValue, Expectation, HttpHeader, HttpMethod, HttpTokenSource, LoginSpec, ReadableKv, ServiceAccountToken,
    SigningAlgorithm, SigningKey, TokenSource,
};
pub use policy::{Capability, PolicySpec, RuleSpec};
pub use role::{BoundClaim, BoundClaimsType, ClaimMapping, RoleSpec, TokenType};

/// What must exist in Vault so that a service can log in with its JWTs.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "vault.badal.io",
    version = "v1alpha1",
    kind = "VaultJwtBinding",
    namespaced,
    shortname = "vjb",
    category = "vault",
    status = "BindingStatus",
    derive = "PartialEq",
    doc = "VaultJwtBinding says which JWT issuer, roles, policies and KV entries must exist in Vault, and how it is proved that a login works.",
    selectable = ".spec.connectionRef.name",
    selectable = ".spec.auth.mount",
    printcolumn = r#"{"name": "READY", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "STATUS", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message"}"#,
    printcolumn = r#"{"name": "CONNECTION", "type": "string", "jsonPath": ".spec.connectionRef.name"}"#,
    printcolumn = r#"{"name": "MOUNT", "type": "string", "jsonPath": ".spec.auth.mount"}"#,
    printcolumn = r#"{"name": "LOGIN", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"LoginHealthy\")].status"}"#,
    printcolumn = r#"{"name": "AGE", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[x_kube(validation = Rule::new("self.connectionRef.name == oldSelf.connectionRef.name")
    .message("must not be changed: to use another connection, create another binding and delete this one")
    .field_path(".connectionRef.name"))]
#[serde(rename_all = "camelCase")]
pub struct VaultJwtBindingSpec {
    /// connectionRef names the VaultConnection. Immutable.
    pub connection_ref: ConnectionRef,
    /// interval at which Vault is compared with this spec; jittered; at least `30s`.
    #[schemars(with = "Interval")]
    #[serde(default = "default_interval")]
    pub interval: DurationString,
    /// timeout of one pass; `1s` to `10m`.
    #[schemars(with = "Timeout")]
    #[serde(default = "default_timeout")]
    pub timeout: DurationString,
    /// suspend stops all passes; deletion is still honoured, and what is no longer granted is still taken away. Leave it
    /// out in Git rather than set it to `false`.
    #[serde(default)]
    pub suspend: bool,
    /// drift says what happens to a difference: `Correct` puts it right, `Report` only says so.
    #[serde(default)]
    pub drift: DriftMode,
    /// adoption says what happens to a different object that exists already and nobody owns: `Fail` or `Adopt`.
    #[serde(default)]
    pub adoption: Adoption,
    /// deletionPolicy says what happens to the Vault objects when the binding is deleted: `Delete` or `Orphan`. May be
    /// changed while deleting.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// auth is the jwt auth mount and, if this binding owns it, its config.
    pub auth: AuthSpec,
    /// roles on the mount.
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleSpec>,
    /// policies that this binding owns.
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicySpec>,
    /// kv entries that this binding owns, as a whole or by key.
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["mount".into(), "path".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kv: Vec<KvSpec>,
    /// login proves that a service can log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginSpec>,
}

/// What happens to a difference between Vault and the spec.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriftMode {
    /// Put it right.
    #[default]
    Correct,
    /// Only report it.
    Report,
}

/// What happens to a different object that exists already and nobody owns.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Adoption {
    /// Leave it and report a conflict.
    #[default]
    Fail,
    /// Take it over and put it right.
    Adopt,
}

/// What happens to the Vault objects when the binding is deleted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// Delete what the binding created or adopted.
    #[default]
    Delete,
    /// Leave everything as it is.
    Orphan,
}

fn default_interval() -> DurationString {
    "5m".into()
}

fn default_timeout() -> DurationString {
    "30s".into()
}
