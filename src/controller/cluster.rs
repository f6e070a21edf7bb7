//! Calls to the apiserver, each with a deadline: kube's client has none of its own, and its retries may last minutes.
//! Status is written by server-side apply under an own field manager, bound to the uid of the object that was read.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, NamespaceResourceScope, ObjectMeta, Resource};
use kube::{Client, ResourceExt};
use secrecy::{SecretSlice, SecretString};
use serde::Serialize;
use serde_json::json;

use crate::api::references::CaKind;
use crate::api::{FINALIZER, VaultJwtBinding};
use crate::desired::{Lookup, Reference, References};

const DEADLINE: Duration = Duration::from_secs(10);
/// The field manager of the status; the finalizer is not a field that can be applied.
const MANAGER: &str = "vault-jwt-operator";

/// Why a call to the apiserver failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// The apiserver said no.
    #[error("the apiserver refused to {0}: {1}")]
    Api(&'static str, #[source] Box<kube::Error>),
    /// No answer in time.
    #[error("the apiserver did not {0} within 10 s")]
    TimedOut(&'static str),
    /// There is no such ServiceAccount.
    #[error("it does not exist; create it")]
    NoServiceAccount,
    /// The object changed, or is another one of the same name now.
    #[error("the object changed meanwhile")]
    Changed,
}

async fn call<T>(what: &'static str, request: impl Future<Output = kube::Result<T>>) -> Result<T, ClusterError> {
    match tokio::time::timeout(DEADLINE, request).await {
        Err(_) => Err(ClusterError::TimedOut(what)),
        Ok(Err(kube::Error::Api(status))) if status.is_not_found() || status.is_conflict() || status.code == 422 => {
            Err(ClusterError::Changed)
        }
        Ok(Err(error)) => Err(ClusterError::Api(what, Box::new(error))),
        Ok(Ok(value)) => Ok(value),
    }
}

async fn get<K>(client: &Client, namespace: &str, name: &str) -> Result<Option<K>, ClusterError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    match tokio::time::timeout(DEADLINE, api.get_opt(name)).await {
        Err(_) => Err(ClusterError::TimedOut("read a referenced object")),
        Ok(result) => result.map_err(|error| ClusterError::Api("read a referenced object", Box::new(error))),
    }
}

/// The data of a Secret or `ConfigMap`, by key.
type Data = BTreeMap<String, SecretSlice<u8>>;

/// The data of a Secret or `ConfigMap`; none where there is no such object.
async fn data(client: &Client, kind: CaKind, namespace: &str, name: &str) -> Result<Option<Data>, ClusterError> {
    Ok(match kind {
        CaKind::Secret => get::<Secret>(client, namespace, name).await?.map(|secret| {
            secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0.into())).collect()
        }),
        CaKind::ConfigMap => get::<ConfigMap>(client, namespace, name).await?.map(|map| {
            let text = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
            let binary = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
            text.chain(binary).map(|(key, value)| (key, value.into())).collect()
        }),
    })
}

/// One key of a Secret or `ConfigMap`.
pub(crate) async fn value(
    client: &Client,
    kind: CaKind,
    namespace: &str,
    name: &str,
    key: &str,
) -> Result<Lookup, ClusterError> {
    Ok(match data(client, kind, namespace, name).await? {
        None => Lookup::NoObject,
        Some(mut data) => data.remove(key).map_or(Lookup::NoKey, Lookup::Found),
    })
}

/// Looks up references in one namespace, reading each object once.
pub(crate) async fn resolve(
    client: &Client,
    namespace: &str,
    references: BTreeSet<Reference>,
) -> Result<References, ClusterError> {
    let mut found = References::new();
    let mut current: Option<(CaKind, String, Option<Data>)> = None;
    // Sorted by kind and name, so that the keys of one object follow each other.
    for reference in references {
        let same = current.as_ref().is_some_and(|(kind, name, _)| *kind == reference.kind && *name == reference.name);
        if !same {
            let data = data(client, reference.kind, namespace, &reference.name).await?;
            current = Some((reference.kind, reference.name.clone(), data));
        }
        let lookup = match current.as_ref().and_then(|(_, _, data)| data.as_ref()) {
            None => Lookup::NoObject,
            Some(data) => data.get(&reference.key).cloned().map_or(Lookup::NoKey, Lookup::Found),
        };
        found.insert(reference, lookup);
    }
    Ok(found)
}

/// Requests a token of a ServiceAccount for an audience.
pub(crate) async fn service_account_token(
    client: &Client,
    namespace: &str,
    name: &str,
    audiences: Vec<String>,
) -> Result<SecretString, ClusterError> {
    let api = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec { audiences, expiration_seconds: Some(600), ..TokenRequestSpec::default() },
        ..TokenRequest::default()
    };
    let params = PostParams::default();
    match call("issue a ServiceAccount token", api.create_token_request(name, &params, &request)).await {
        Ok(answer) => Ok(answer.status.map(|status| status.token).unwrap_or_default().into()),
        Err(ClusterError::Changed) => Err(ClusterError::NoServiceAccount),
        Err(error) => Err(error),
    }
}

/// An object as it is stored, also where its type cannot be decoded.
pub(crate) async fn get_raw<K>(client: &Client, metadata: &ObjectMeta) -> Result<Option<DynamicObject>, ClusterError>
where
    K: Resource<DynamicType = ()>,
{
    let api = raw_api::<K>(client, metadata.namespace.as_deref());
    let found = call("read an object", api.get_opt(metadata.name.as_deref().unwrap_or_default())).await?;
    Ok(found.filter(|found| found.metadata.uid == metadata.uid))
}

fn raw_api<K: Resource<DynamicType = ()>>(client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<K>(&());
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// Writes a status; gives the resource version that it has since.
pub(crate) async fn write_status<K>(
    client: &Client,
    metadata: &ObjectMeta,
    status: &impl Serialize,
) -> Result<Option<String>, ClusterError>
where
    K: Resource<DynamicType = ()>,
{
    let resource = ApiResource::erase::<K>(&());
    let name = metadata.name.as_deref().unwrap_or_default();
    let patch = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "uid": metadata.uid},
        "status": status,
    });
    let params = PatchParams::apply(MANAGER).force();
    let api = raw_api::<K>(client, metadata.namespace.as_deref());
    let written = call("write a status", api.patch_status(name, &params, &Patch::Apply(&patch))).await?;
    Ok(written.metadata.resource_version)
}

/// Adds the finalizer, unless the object changed since it was read.
pub(crate) async fn add_finalizer(client: &Client, binding: &VaultJwtBinding) -> Result<(), ClusterError> {
    let finalizers: Vec<&str> = binding.finalizers().iter().map(String::as_str).chain([FINALIZER]).collect();
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": binding.uid()},
        {"op": "test", "path": "/metadata/resourceVersion", "value": binding.resource_version()},
        {"op": "add", "path": "/metadata/finalizers", "value": finalizers},
    ]);
    patch_metadata(client, binding, "add the finalizer", operations).await
}

/// Removes the finalizer from this very object, and not from another one that has its name now.
pub(crate) async fn remove_finalizer(client: &Client, binding: &VaultJwtBinding) -> Result<(), ClusterError> {
    let Some(index) = binding.finalizers().iter().position(|finalizer| finalizer == FINALIZER) else {
        return Ok(());
    };
    let path = format!("/metadata/finalizers/{index}");
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": binding.uid()},
        {"op": "test", "path": path, "value": FINALIZER},
        {"op": "remove", "path": path},
    ]);
    patch_metadata(client, binding, "remove the finalizer", operations).await
}

async fn patch_metadata(
    client: &Client,
    binding: &VaultJwtBinding,
    what: &'static str,
    operations: serde_json::Value,
) -> Result<(), ClusterError> {
    let resource = ApiResource::erase::<VaultJwtBinding>(&());
    let namespace = binding.namespace().unwrap_or_default();
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
    let patch: json_patch::Patch = serde_json::from_value(operations)
        .map_err(|error| ClusterError::Api(what, Box::new(kube::Error::SerdeError(error))))?;
    call(what, api.patch(&binding.name_any(), &PatchParams::default(), &Patch::Json::<()>(patch))).await?;
    Ok(())
}
