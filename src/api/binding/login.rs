//! How it is proved that a login works: with which JWT, and what the token from Vault must then be able to do.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::duration::DurationString;
use super::super::names::{KvPath, MountPath, RoleName};
use super::super::references::SecretKeyRef;
use super::super::schema::{
    HeaderName, HeaderValue, Interval, IssuerUrl, JsonPointer, JsonValue, KvKey, ObjectName, Set, Text, TokenLife,
    exactly_one,
};
use super::default_interval;

/// How it is proved that a login works.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LoginSpec {
    /// role to log in with.
    #[schemars(with = "RoleName")]
    pub role: String,
    /// interval between two probes; jittered.
    #[schemars(with = "Interval")]
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
#[x_kube(validation = Rule::new(exactly_one(&["secretKeyRef", "serviceAccount", "signingKey", "http"]))
    .message("must have exactly one of `secretKeyRef`, `serviceAccount`, `signingKey` and `http`"))]
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
    #[schemars(with = "ObjectName")]
    pub name: String,
    /// audience of the requested token.
    #[schemars(with = "Text<1024>")]
    pub audience: String,
}

/// A private key and what is signed with it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SigningKey {
    /// secretKeyRef names the Secret that holds the PEM private key (PKCS#8).
    pub secret_key_ref: SecretKeyRef,
    /// keyId for the header.
    #[schemars(with = "Text<256>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// algorithm of the signature.
    pub algorithm: SigningAlgorithm,
    /// type for the header's `typ`, e.g. `vnd.backstage.plugin`.
    #[schemars(with = "Text<128>")]
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub token_type: Option<String>,
    /// claims of the token besides iat and exp.
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["claim".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimValue>,
    /// ttl of the token.
    #[schemars(with = "TokenLife")]
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
#[x_kube(validation = Rule::new("!(self.claim in ['iat', 'exp'])")
    .message("must not be 'iat' or 'exp': these follow from the clock and `ttl`")
    .field_path(".claim"))]
#[serde(rename_all = "camelCase")]
pub struct ClaimValue {
    /// claim by name.
    #[schemars(with = "Text<256>")]
    pub claim: String,
    /// value of the claim: any JSON value.
    #[schemars(with = "JsonValue")]
    pub value: Value,
}

/// An HTTP endpoint that issues a token.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("!has(self.bodyRef) || self.method == 'POST'")
    .message("may only be specified when `method` is 'POST'")
    .field_path(".bodyRef")
    .reason(Reason::FieldValueForbidden))]
#[serde(rename_all = "camelCase")]
pub struct HttpTokenSource {
    /// url of the endpoint; its host must be granted.
    #[schemars(with = "IssuerUrl")]
    pub url: String,
    /// method of the request: `GET` or `POST`.
    #[serde(default)]
    pub method: HttpMethod,
    /// headers of the request.
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HttpHeader>,
    /// bodyRef names the Secret that holds the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_ref: Option<SecretKeyRef>,
    /// tokenPointer is the JSON pointer to the token in the answer; without it the whole answer is the token.
    #[schemars(with = "JsonPointer")]
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
#[x_kube(validation = Rule::new("has(self.value) != has(self.secretKeyRef)")
    .message("must have exactly one of `value` and `secretKeyRef`"))]
#[x_kube(validation = Rule::new("!has(self.value) || !(self.name.lowerAscii() in ['authorization', 'proxy-authorization', 'cookie', 'x-vault-token'])")
    .message("may not be specified for this header, whose value is a secret: use `secretKeyRef`")
    .field_path(".value")
    .reason(Reason::FieldValueForbidden))]
#[serde(rename_all = "camelCase")]
pub struct HttpHeader {
    /// name of the header.
    #[schemars(with = "HeaderName")]
    pub name: String,
    /// value of the header, when it is no secret.
    #[schemars(with = "HeaderValue")]
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
    #[schemars(with = "Set<Text<256>, 0, 64>")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// readable KV secrets.
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["mount".into(), "path".into()]))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readable: Vec<ReadableKv>,
}

/// A KV secret that the token must be able to read.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReadableKv {
    /// mount of the KV engine.
    #[schemars(with = "MountPath")]
    pub mount: String,
    /// path of the secret, without `data/`.
    #[schemars(with = "KvPath")]
    pub path: String,
    /// keys that the secret must have.
    #[schemars(with = "Set<KvKey, 0, 64>")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}
