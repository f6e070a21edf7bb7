//! The KV entries of a binding; their values stay in Kubernetes Secrets.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::names::{KvPath, MountPath};
use super::super::references::SecretKeyRef;
use super::super::schema::KvKey;

/// A KV entry, owned by key or as a whole.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.path.startsWith(self.mount + '/')")
    .message("must not begin with `mount`; write the path below it, without 'data/'")
    .field_path(".path"))]
pub struct KvSpec {
    /// mount of the KV engine; version 1 or 2 is detected.
    #[schemars(with = "MountPath")]
    pub mount: String,
    /// path of the secret, without the `data/` of KV version 2.
    #[schemars(with = "KvPath")]
    pub path: String,
    /// ownership: `Keys` owns these keys and leaves the rest, `Secret` owns the whole secret.
    #[serde(default)]
    pub ownership: Ownership,
    /// data of the entry.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into()]))]
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
    #[schemars(with = "KvKey")]
    pub key: String,
    /// secretKeyRef names the Secret that holds the value.
    pub secret_key_ref: SecretKeyRef,
}
