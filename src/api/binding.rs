//! `VaultJwtBinding`: which JWT issuer, which roles with which leeways, which policies and which KV entries must exist
//! in Vault, and how it is proved that a login works. Namespaced, written by the team, lives in Git.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::duration::{DurationString, LeewaySetting};
use super::references::{CaRef, ConnectionRef, SecretKeyRef};
use super::status::BindingStatus;

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
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct VaultJwtBindingSpec {
    /// connectionRef names the VaultConnection. Immutable.
    pub connection_ref: ConnectionRef,
    /// interval at which Vault is compared with this spec; jittered; at least `30s`.
    #[serde(default = "default_interval")]
    pub interval: DurationString,
    /// timeout of one pass.
    #[serde(default = "default_timeout")]
    pub timeout: DurationString,
    /// suspend stops all passes; deletion is still honoured. Leave it out in Git rather than set it to `false`.
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleSpec>,
    /// policies that this binding owns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicySpec>,
    /// kv entries that this binding owns, as a whole or by key.
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

/// The jwt auth mount.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AuthSpec {
    /// mount of the jwt method, without `auth/`. Immutable.
    pub mount: String,
    /// enable the jwt method when nothing is mounted there. It is never disabled again: that would revoke every token.
    #[serde(default)]
    pub enable: bool,
    /// config of the mount. A mount has one: whoever sets it owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigSpec>,
}

/// The config of a jwt mount. Exactly one of jwksUrl, jwksPairs, oidcDiscoveryUrl and validationPublicKeys.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigSpec {
    /// jwksUrl that Vault fetches the issuer's keys from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// jwksCaRef names the CA bundle that the host of jwksUrl must chain to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_ca_ref: Option<CaRef>,
    /// jwksPairs are several JWKS URLs, each with its own CA. Not together with boundIssuer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jwks_pairs: Vec<JwksPair>,
    /// oidcDiscoveryUrl is the issuer's base URL, without `.well-known`. A host that hangs here blocks the whole mount:
    /// prefer jwksUrl.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc_discovery_url: Option<String>,
    /// oidcDiscoveryCaRef names the CA bundle that the host of oidcDiscoveryUrl must chain to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc_discovery_ca_ref: Option<CaRef>,
    /// validationPublicKeys are PEM public keys, used without any network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation_public_keys: Vec<String>,
    /// boundIssuer that the token's `iss` must equal, to the letter. Backstage's plugin tokens carry none: leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_issuer: Option<String>,
    /// defaultRole for a login that names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_role: Option<String>,
    /// supportedAlgorithms that a token may be signed with; all of Vault's when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported_algorithms: Vec<Algorithm>,
}

/// One JWKS URL with its CA.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct JwksPair {
    /// url of the JWKS.
    pub url: String,
    /// caRef names the CA bundle that the host must chain to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<CaRef>,
}

/// A signature algorithm that Vault's jwt method can verify.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names of RFC 7518 and RFC 8037 say all")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    ES256,
    ES384,
    ES512,
    PS256,
    PS384,
    PS512,
    EdDSA,
}

/// A role of type `jwt`. Fields left out are written empty, so that nothing another writer left behind stays in force.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RoleSpec {
    /// name of the role.
    pub name: String,
    /// boundAudiences: the token's `aud` must hold one of these. Use an audience of Vault's own, not that of a real
    /// plugin, whose recipients could replay the token.
    pub bound_audiences: Vec<String>,
    /// boundSubject that the token's `sub` must equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_subject: Option<String>,
    /// boundClaims that the token must carry, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bound_claims: Vec<BoundClaim>,
    /// boundClaimsType: `String` compares typed values, `Glob` lets `*` in string values stand for anything.
    #[serde(default)]
    pub bound_claims_type: BoundClaimsType,
    /// userClaim that names the entity alias; must be in the token, as a string.
    pub user_claim: String,
    /// userClaimJsonPointer: userClaim is a JSON pointer.
    #[serde(default)]
    pub user_claim_json_pointer: bool,
    /// groupsClaim that names the groups; a token without it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<String>,
    /// claimMappings copy string claims to the metadata of the token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claim_mappings: Vec<ClaimMapping>,
    /// tokenPolicies that issued tokens carry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_policies: Vec<String>,
    /// tokenTtl of issued tokens; the mount's default when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_ttl: Option<DurationString>,
    /// tokenMaxTtl up to which issued tokens can be renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_max_ttl: Option<DurationString>,
    /// tokenExplicitMaxTtl that issued tokens never outlive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_explicit_max_ttl: Option<DurationString>,
    /// tokenPeriod makes issued tokens periodic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_period: Option<DurationString>,
    /// tokenBoundCidrs that logins and issued tokens may come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_bound_cidrs: Vec<String>,
    /// tokenNoDefaultPolicy leaves the policy `default` off issued tokens.
    #[serde(default)]
    pub token_no_default_policy: bool,
    /// tokenNumUses bounds how often an issued token can be used; 0 for no bound.
    #[serde(default)]
    pub token_num_uses: i64,
    /// tokenType of issued tokens: `Default` (the mount's), `Service` or `Batch`.
    #[serde(default)]
    pub token_type: TokenType,
    /// clockSkewLeeway added when `nbf`, `exp` and `iat` are compared with the clock: a duration, `Default` (60 s) or
    /// `Off`.
    #[serde(default = "default_leeway")]
    pub clock_skew_leeway: LeewaySetting,
    /// expirationLeeway used only for a token without `exp`: a duration, `Default` (150 s) or `Off`.
    #[serde(default = "default_leeway")]
    pub expiration_leeway: LeewaySetting,
    /// notBeforeLeeway used only for a token with neither `nbf` nor `iat`: a duration, `Default` (150 s) or `Off`.
    #[serde(default = "default_leeway")]
    pub not_before_leeway: LeewaySetting,
}

/// A claim and the values it may have.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BoundClaim {
    /// claim by name at the top level, or a JSON pointer if it begins with `/`.
    pub claim: String,
    /// values, one of which the claim must have: strings, whole numbers or booleans, compared with their type.
    pub values: Vec<Value>,
}

/// How bound claims are compared.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoundClaimsType {
    /// Typed equality.
    #[default]
    String,
    /// `*` in a string value stands for anything.
    Glob,
}

/// A claim that is copied to the token's metadata.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ClaimMapping {
    /// claim to copy.
    pub claim: String,
    /// metadataKey to copy it to; not `role`.
    pub metadata_key: String,
}

/// The type of issued tokens.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenType {
    /// The mount's default.
    #[default]
    Default,
    /// Service tokens: renewable and revocable.
    Service,
    /// Batch tokens: neither.
    Batch,
}

/// An ACL policy: structured rules, or raw HCL where the grant allows it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PolicySpec {
    /// name of the policy.
    pub name: String,
    /// rules of the policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleSpec>,
    /// hcl is the policy's text, in place of rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hcl: Option<String>,
}

/// A rule of a policy.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RuleSpec {
    /// path in Vault's own notation: `*` as the last character, `+` for one whole segment.
    pub path: String,
    /// capabilities given on it.
    pub capabilities: Vec<Capability>,
}

/// A capability of an ACL rule.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "Vault's own names")]
pub enum Capability {
    Create,
    Read,
    Update,
    Patch,
    Delete,
    List,
    Sudo,
    Deny,
}

/// A KV entry, owned by key or as a whole.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KvSpec {
    /// mount of the KV engine; version 1 or 2 is detected.
    pub mount: String,
    /// path of the secret, without the `data/` of KV version 2.
    pub path: String,
    /// ownership: `Keys` owns these keys and leaves the rest, `Secret` owns the whole secret.
    #[serde(default)]
    pub ownership: Ownership,
    /// data of the entry.
    pub data: Vec<KvItem>,
}

/// How much of a KV secret a binding owns.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// The listed keys.
    #[default]
    Keys,
    /// The whole secret.
    Secret,
}

/// One key of a KV secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KvItem {
    /// key in the KV secret.
    pub key: String,
    /// secretKeyRef names the Secret that holds the value.
    pub secret_key_ref: SecretKeyRef,
}

/// How it is proved that a login works.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LoginSpec {
    /// role to log in with.
    pub role: String,
    /// interval between two probes; jittered.
    #[serde(default = "default_interval")]
    pub interval: DurationString,
    /// token to log in with. Exactly one source.
    pub token: TokenSource,
    /// expect says what the issued token must be able to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expectation>,
}

/// Where the probe's JWT comes from. Exactly one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TokenSource {
    /// secretKeyRef names a Secret that holds a JWT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
    /// serviceAccount whose token is requested from the apiserver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccountToken>,
    /// signingKey to mint a short token with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<SigningKey>,
    /// http endpoint that issues a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpTokenSource>,
}

/// A ServiceAccount of the binding's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountToken {
    /// name of the ServiceAccount.
    pub name: String,
    /// audience of the requested token.
    pub audience: String,
}

/// A private key and what is signed with it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SigningKey {
    /// secretKeyRef names the Secret that holds the PEM private key (PKCS#8).
    pub secret_key_ref: SecretKeyRef,
    /// keyId for the header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// algorithm of the signature.
    pub algorithm: SigningAlgorithm,
    /// type for the header's `typ`, e.g. `vnd.backstage.plugin`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub token_type: Option<String>,
    /// claims of the token besides iat and exp.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimValue>,
    /// ttl of the token.
    #[serde(default = "default_interval")]
    pub ttl: DurationString,
}

/// An algorithm that the operator can sign with.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of RFC 7518 and RFC 8037 say all")]
pub enum SigningAlgorithm {
    ES256,
    RS256,
    EdDSA,
}

/// A claim and its value.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ClaimValue {
    /// claim by name.
    pub claim: String,
    /// value of the claim: any JSON value.
    pub value: Value,
}

/// An HTTP endpoint that issues a token.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpTokenSource {
    /// url of the endpoint; its host must be granted.
    pub url: String,
    /// method of the request: `GET` or `POST`.
    #[serde(default)]
    pub method: HttpMethod,
    /// headers of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HttpHeader>,
    /// bodyRef names the Secret that holds the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_ref: Option<SecretKeyRef>,
    /// tokenPointer is the JSON pointer to the token in the answer; without it the whole answer is the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_pointer: Option<String>,
}

/// The method of an HTTP request.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the names of RFC 9110 say all")]
pub enum HttpMethod {
    Get,
    #[default]
    Post,
}

/// A header of an HTTP request, with a plain value or one from a Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpHeader {
    /// name of the header.
    pub name: String,
    /// value of the header, when it is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// secretKeyRef names the Secret that holds the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
}

/// What a token issued by the probe must be able to do.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Expectation {
    /// policies that the token must carry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// readable KV secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readable: Vec<ReadableKv>,
}

/// A KV secret that the token must be able to read.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReadableKv {
    /// mount of the KV engine.
    pub mount: String,
    /// path of the secret, without `data/`.
    pub path: String,
    /// keys that the secret must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

fn default_interval() -> DurationString {
    "5m".into()
}

fn default_timeout() -> DurationString {
    "30s".into()
}

fn default_leeway() -> LeewaySetting {
    LeewaySetting("Default".to_owned())
}

impl Default for LeewaySetting {
    fn default() -> Self {
        default_leeway()
    }
}
