//! Calls to the apiserver, each with a deadline: kube's client has none of its own, and its retries may last minutes.
//! Status is written by server-side apply under an own field manager, bound to the uid of the object that was read.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use futures::StreamExt;
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
/// Referenced objects that are read at once for one binding.
const READS: usize = 8;
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
pub(crate) async fn value(client: &Client, kind: CaKind, namespace: &str, name: &str, key: &str) -> Lookup {
    match data(client, kind, namespace, name).await {
        Err(error) => Lookup::Unreadable(error.to_string()),
        Ok(None) => Lookup::NoObject,
        Ok(Some(mut data)) => data.remove(key).map_or(Lookup::NoKey, Lookup::Found),
    }
}

/// Looks up references in one namespace, reading each object once. One that cannot be read hides no other.
pub(crate) async fn resolve(client: &Client, namespace: &str, references: BTreeSet<Reference>) -> References {
    let mut objects: BTreeMap<(CaKind, String), Vec<Reference>> = BTreeMap::new();
    for reference in references {
        objects.entry((reference.kind, reference.name.clone())).or_default().push(reference);
    }
    let reads = objects.into_iter().map(|((kind, name), references)| async move {
        let data = data(client, kind, namespace, &name).await.map_err(|error| error.to_string());
        let lookup = move |reference: Reference| {
            let lookup = match &data {
                Err(why) => Lookup::Unreadable(why.clone()),
                Ok(None) => Lookup::NoObject,
                Ok(Some(data)) => data.get(&reference.key).cloned().map_or(Lookup::NoKey, Lookup::Found),
            };
            (reference, lookup)
        };
        references.into_iter().map(lookup).collect::<Vec<_>>()
    });
    futures::stream::iter(reads).buffer_unordered(READS).flat_map(futures::stream::iter).collect().await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::stand_in::ApiServer;

    #[tokio::test]
    async fn one_secret_that_cannot_be_read_hides_no_other() {
        let apiserver = ApiServer::start().await;
        let path = |name: &str| format!("/api/v1/namespaces/ns/secrets/{name}");
        apiserver.answer(&path("a"), 500, &json!({"kind": "Status", "code": 500, "message": "etcd is away"}));
        apiserver.answer(&path("b"), 200, &json!({"kind": "Secret", "metadata": {"name": "b"}, "data": {"k": "dg=="}}));
        let reference = |name: &str, key: &str| Reference { kind: CaKind::Secret, name: name.into(), key: key.into() };
        let all = [reference("a", "k"), reference("b", "k"), reference("b", "other")];
        let found = resolve(&apiserver.client(), "ns", all.clone().into()).await;
        assert!(matches!(&found[&all[0]], Lookup::Unreadable(why) if why.contains("refused to read")));
        assert!(matches!(found[&all[1]], Lookup::Found(_)));
        assert!(matches!(found[&all[2]], Lookup::NoKey));
        assert_eq!(apiserver.requests.lock().unwrap().len(), 2, "each object is read once");
    }
}
