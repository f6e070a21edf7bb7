//! The jwt auth mount of a binding and its one config.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::names::{MountPath, RoleName};
use super::super::references::CaRef;
use super::super::schema::{DiscoveryUrl, IssuerUrl, PublicKey, Set, Text};

/// CEL does not count what is there, so this makes a list of it.
const SOURCES: &str = "[has(self.jwksUrl), has(self.jwksPairs) && self.jwksPairs.size() > 0, has(self.oidcDiscoveryUrl), \
    has(self.validationPublicKeys) && self.validationPublicKeys.size() > 0].filter(set, set).size() == 1";

/// The jwt auth mount.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new("self.mount == oldSelf.mount")
    .message("must not be changed: to use another mount, create another binding and delete this one")
    .field_path(".mount"))]
#[serde(rename_all = "camelCase")]
pub struct AuthSpec {
    /// mount of the jwt method, without `auth/`. Immutable.
    #[schemars(with = "MountPath")]
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
#[x_kube(validation = Rule::new(SOURCES)
    .message("must have exactly one of `jwksUrl`, `jwksPairs`, `oidcDiscoveryUrl` and `validationPublicKeys`"))]
#[x_kube(validation = Rule::new("!has(self.jwksCaRef) || has(self.jwksUrl)")
    .message("may only be specified when `jwksUrl` is set; an entry of `jwksPairs` has its own `caRef`")
    .field_path(".jwksCaRef")
    .reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("!has(self.oidcDiscoveryCaRef) || has(self.oidcDiscoveryUrl)")
    .message("may only be specified when `oidcDiscoveryUrl` is set")
    .field_path(".oidcDiscoveryCaRef")
    .reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("!has(self.boundIssuer) || !has(self.jwksPairs) || self.jwksPairs.size() == 0")
    .message("may not be specified when `jwksPairs` is set: Vault does not support it; leave it out, or use `jwksUrl`")
    .field_path(".boundIssuer")
    .reason(Reason::FieldValueForbidden))]
#[serde(rename_all = "camelCase")]
pub struct ConfigSpec {
    /// jwksUrl that Vault fetches the issuer's keys from.
    #[schemars(with = "IssuerUrl")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// jwksCaRef names the CA bundle that the host of jwksUrl must chain to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_ca_ref: Option<CaRef>,
    /// jwksPairs are several JWKS URLs, each with its own CA. Not together with boundIssuer.
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["url".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jwks_pairs: Vec<JwksPair>,
    /// oidcDiscoveryUrl is the issuer's base URL, without `.well-known`. A host that hangs here blocks the whole mount:
    /// prefer jwksUrl.
    #[schemars(with = "DiscoveryUrl")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc_discovery_url: Option<String>,
    /// oidcDiscoveryCaRef names the CA bundle that the host of oidcDiscoveryUrl must chain to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc_discovery_ca_ref: Option<CaRef>,
    /// validationPublicKeys are PEM public keys, used without any network.
    #[schemars(with = "Set<PublicKey, 0, 16>")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation_public_keys: Vec<String>,
    /// boundIssuer that the token's `iss` must equal, to the letter. Backstage's plugin tokens carry none: leave it out.
    #[schemars(with = "Text<2048>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_issuer: Option<String>,
    /// defaultRole for a login that names none.
    #[schemars(with = "RoleName")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_role: Option<String>,
    /// supportedAlgorithms that a token may be signed with; all of Vault's when empty.
    #[schemars(with = "Set<Algorithm, 0, 10>")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported_algorithms: Vec<Algorithm>,
}

/// One JWKS URL with its CA.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct JwksPair {
    /// url of the JWKS.
    #[schemars(with = "IssuerUrl")]
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
