//! `VaultConnection`: where a Vault is, how the operator logs in to it, and which namespaces may have what written
//! there. Cluster-scoped, written by whoever runs Vault. Without a grant nothing is written.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::binding::Capability;
use super::duration::DurationString;
use super::names::MountPath;
use super::references::{NamespacedCaRef, NamespacedSecretKeyRef, NamespacedSecretRef};
use super::schema::{
    Host, HostName, KvPattern, Labels, NamePattern, Namespace, ObjectName, PolicyPattern, RulePath, Set, Text, Ttl,
    VaultAddress, VaultNamespace, exactly_one,
};
use super::status::ConnectionStatus;

/// A Vault server, how the operator logs in to it, and what bindings may have written there.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "vault.badal.io",
    version = "v1alpha1",
    kind = "VaultConnection",
    shortname = "vconn",
    category = "vault",
    status = "ConnectionStatus",
    derive = "PartialEq",
    doc = "VaultConnection says where a Vault is, how the operator logs in to it, and which namespaces may have what written there.",
    printcolumn = r#"{"name": "READY", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "STATUS", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message"}"#,
    printcolumn = r#"{"name": "ADDRESS", "type": "string", "jsonPath": ".spec.address"}"#,
    printcolumn = r#"{"name": "AGE", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[x_kube(validation = Rule::new("!has(self.tls) || !self.address.startsWith('http://')")
    .message("may not be specified when `address` begins with 'http://'")
    .field_path(".tls")
    .reason(Reason::FieldValueForbidden))]
#[serde(rename_all = "camelCase")]
pub struct VaultConnectionSpec {
    /// address of Vault, e.g. `https://vault.vault.svc:8200`.
    #[schemars(with = "VaultAddress")]
    pub address: String,
    /// vaultNamespace is sent as X-Vault-Namespace. Vault Enterprise and HCP only; refused on an edition that would
    /// ignore it.
    #[schemars(with = "VaultNamespace")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_namespace: Option<String>,
    /// tls settings; without them the system's CA certificates are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// auth says how the operator logs in. Exactly one method.
    pub auth: ConnectionAuth,
    /// limits bound what the operator asks of this Vault.
    #[serde(default)]
    pub limits: Limits,
    /// grants say which namespaces may have what written. No grant, no write.
    #[schemars(length(max = 128))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
}

/// TLS towards Vault.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// caRef names the PEM bundle that Vault's certificate must chain to; it replaces the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<NamespacedCaRef>,
    /// clientCertificateRef names a kubernetes.io/tls Secret with the certificate shown to Vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<NamespacedSecretRef>,
    /// serverName that Vault's certificate must carry, when it is not the host of the address.
    #[schemars(with = "HostName")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

/// How the operator logs in. Exactly one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new(exactly_one(&["kubernetes", "jwt", "appRole", "token"]))
    .message("must have exactly one of `kubernetes`, `jwt`, `appRole` and `token`"))]
#[serde(rename_all = "camelCase")]
pub struct ConnectionAuth {
    /// kubernetes: Vault's kubernetes method, with a ServiceAccount token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesAuth>,
    /// jwt: Vault's jwt method, with a ServiceAccount token of the given audience.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtAuth>,
    /// appRole: role id and secret id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_role: Option<AppRoleAuth>,
    /// token: a Vault token that somebody else issues and renews; the operator neither renews nor revokes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenAuth>,
}

/// Login by Vault's kubernetes method.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesAuth {
    /// mount of the method.
    #[schemars(with = "MountPath")]
    #[serde(default = "default_kubernetes_mount")]
    pub mount: String,
    /// role to log in with.
    #[schemars(with = "Text<128>")]
    pub role: String,
    /// bindingServiceAccount, when set, names a ServiceAccount in each binding's own namespace; the operator logs in
    /// as that one, so that Vault's own policies decide as well as the grants.
    #[schemars(with = "ObjectName")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding_service_account: Option<String>,
}

/// Login by Vault's jwt method.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct JwtAuth {
    /// mount of the method.
    #[schemars(with = "MountPath")]
    pub mount: String,
    /// role to log in with.
    #[schemars(with = "Text<128>")]
    pub role: String,
    /// audience that the ServiceAccount token is requested for.
    #[schemars(with = "Text<1024>")]
    pub audience: String,
    /// bindingServiceAccount, when set, names a ServiceAccount in each binding's own namespace; the operator logs in
    /// as that one, so that Vault's own policies decide as well as the grants.
    #[schemars(with = "ObjectName")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding_service_account: Option<String>,
}

/// Login by AppRole.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AppRoleAuth {
    /// mount of the method.
    #[schemars(with = "MountPath")]
    #[serde(default = "default_approle_mount")]
    pub mount: String,
    /// roleId of the AppRole.
    #[schemars(with = "Text<1024>")]
    pub role_id: String,
    /// secretIdRef names the Secret that holds the secret id.
    pub secret_id_ref: NamespacedSecretKeyRef,
}

/// A token issued by somebody else.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TokenAuth {
    /// secretRef names the Secret that holds the token.
    pub secret_ref: NamespacedSecretKeyRef,
}

/// What the operator may ask of one Vault.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// requestsPerSecond to this Vault, at most.
    #[schemars(range(min = 1, max = 100_000))]
    #[serde(default = "default_requests_per_second")]
    pub requests_per_second: i32,
    /// concurrentRequests to this Vault, at most.
    #[schemars(range(min = 1, max = 1024))]
    #[serde(default = "default_concurrent_requests")]
    pub concurrent_requests: i32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests_per_second: default_requests_per_second(), concurrent_requests: default_concurrent_requests() }
    }
}

/// What bindings in some namespaces may have written. Each list is empty by default, and what is not listed is denied.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// namespaces that this grant is for.
    pub namespaces: NamespaceSelection,
    /// authMounts whose roles these namespaces may write. Who manages a mount's config speaks for every role on it:
    /// one mount per circle of trust.
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["path".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auth_mounts: Vec<AuthMountGrant>,
    /// roles that a binding may own; `*` only as the last character.
    #[schemars(with = "Set<NamePattern, 0, 32>")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// policies that a binding may own; `*` only as the last character.
    #[schemars(with = "Set<PolicyPattern, 0, 32>")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// attachablePolicies that a binding's roles may hand out; `*` only as the last character; never `root`.
    #[schemars(with = "Set<PolicyPattern, 0, 32>")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachable_policies: Vec<String>,
    /// policyRules bound what the rules of those policies may open: each rule must lie inside one of these.
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["path".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy_rules: Vec<RuleGrant>,
    /// rawPolicies allows `hcl:`, which cannot be checked against policyRules.
    #[serde(default)]
    pub raw_policies: bool,
    /// kv entries that a binding may write.
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["mount".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kv: Vec<KvGrant>,
    /// issuerHosts that Vault or the operator may be sent to for keys, discovery or tokens: `host` or `host:port`.
    #[schemars(with = "Set<Host, 0, 32>")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuer_hosts: Vec<String>,
    /// allowHttp permits `http:` URLs; otherwise only `https:`.
    #[serde(default)]
    pub allow_http: bool,
    /// maxTokenTtl bounds the life of issued tokens: a role must then set tokenMaxTtl, tokenExplicitMaxTtl or
    /// tokenPeriod, and none of them above it.
    #[schemars(with = "Ttl")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_token_ttl: Option<DurationString>,
}

/// Namespaces by name or by label.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new("(has(self.names) && self.names.size() > 0) != has(self.selector)")
    .message("must have exactly one of `names` and `selector`"))]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelection {
    /// names of namespaces.
    #[schemars(with = "Set<Namespace, 0, 128>")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// selector over the labels of namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<NamespaceLabels>,
}

/// Labels that a namespace must carry.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceLabels {
    /// matchLabels that a namespace must carry, all of them.
    #[schemars(with = "Labels")]
    pub match_labels: BTreeMap<String, String>,
}

/// An auth mount that bindings may use.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AuthMountGrant {
    /// path of the mount, without `auth/`.
    #[schemars(with = "MountPath")]
    pub path: String,
    /// manageConfig allows a binding to own the mount's one config.
    #[serde(default)]
    pub manage_config: bool,
    /// enable allows a binding to enable the jwt method here when nothing is mounted.
    #[serde(default)]
    pub enable: bool,
}

/// What a rule of an owned policy may open.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RuleGrant {
    /// path in Vault's own notation: `*` as the last character, `+` for one whole segment.
    #[schemars(with = "RulePath")]
    pub path: String,
    /// capabilities that may be given on it; `sudo` only if named.
    #[schemars(with = "Set<Capability, 1, 8>")]
    pub capabilities: Vec<Capability>,
}

/// KV entries that bindings may write.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KvGrant {
    /// mount of the KV engine.
    #[schemars(with = "MountPath")]
    pub mount: String,
    /// paths below it, without `data/`; `*` only as the last character.
    #[schemars(with = "Set<KvPattern, 1, 16>")]
    pub paths: Vec<String>,
}

fn default_kubernetes_mount() -> String {
    "kubernetes".to_owned()
}

fn default_approle_mount() -> String {
    "approle".to_owned()
}

const fn default_requests_per_second() -> i32 {
    100
}

const fn default_concurrent_requests() -> i32 {
    16
}
