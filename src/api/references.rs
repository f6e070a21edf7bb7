//! References from a resource to a Secret, a ConfigMap or a connection. A binding refers only to its own namespace;
//! a connection is cluster-scoped and names the namespace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{DataKey, Namespace, ObjectName};

/// One key of a Secret in the binding's own namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// name of the Secret.
    #[schemars(with = "ObjectName")]
    pub name: String,
    /// key in the Secret's data.
    #[schemars(with = "DataKey")]
    pub key: String,
}

/// One key of a Secret in a named namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct NamespacedSecretKeyRef {
    /// namespace of the Secret.
    #[schemars(with = "Namespace")]
    pub namespace: String,
    /// name of the Secret.
    #[schemars(with = "ObjectName")]
    pub name: String,
    /// key in the Secret's data.
    #[schemars(with = "DataKey")]
    pub key: String,
}

/// A `kubernetes.io/tls` Secret in a named namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct NamespacedSecretRef {
    /// namespace of the Secret.
    #[schemars(with = "Namespace")]
    pub namespace: String,
    /// name of the Secret.
    #[schemars(with = "ObjectName")]
    pub name: String,
}

/// What kind of object holds a CA bundle.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CaKind {
    /// A Secret.
    Secret,
    /// A `ConfigMap`.
    ConfigMap,
}

/// A PEM bundle of CA certificates in a Secret or `ConfigMap` of the binding's own namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct CaRef {
    /// kind of the object: `Secret` or `ConfigMap`.
    pub kind: CaKind,
    /// name of the object.
    #[schemars(with = "ObjectName")]
    pub name: String,
    /// key in the object's data.
    #[schemars(with = "DataKey")]
    pub key: String,
}

/// A PEM bundle of CA certificates in a Secret or `ConfigMap` of a named namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct NamespacedCaRef {
    /// kind of the object: `Secret` or `ConfigMap`.
    pub kind: CaKind,
    /// namespace of the object.
    #[schemars(with = "Namespace")]
    pub namespace: String,
    /// name of the object.
    #[schemars(with = "ObjectName")]
    pub name: String,
    /// key in the object's data.
    #[schemars(with = "DataKey")]
    pub key: String,
}

/// The `VaultConnection` that a binding uses.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionRef {
    /// name of the `VaultConnection`.
    #[schemars(with = "ObjectName")]
    pub name: String,
}
