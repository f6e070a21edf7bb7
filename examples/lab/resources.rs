//! The custom resources of the lab: the samples that the repository ships, pointed at the lab's own servers.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, DynamicObject, ObjectMeta, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::lab::{Fallible, Issuer, Lab, eventually};

pub const NAMESPACE: &str = "backstage";
pub const OPERATOR_NAMESPACE: &str = "vault-jwt-operator";
pub const KV_MOUNT: &str = "backstage/backend";

const FIELD_MANAGER: &str = "lab";

/// `VaultConnection` main; `role` is the operator's at Vault's `kubernetes` auth method.
pub fn connection(lab: &Lab, role: &str, issuer_host: &str) -> Fallible<Value> {
    let mut connection: Value = serde_yaml::from_str(include_str!("../../manifests/samples/vaultconnection.yaml"))?;
    connection["spec"].as_object_mut().ok_or("no spec")?.remove("tls");
    connection["spec"]["address"] = lab.vault_server.address().into();
    connection["spec"]["auth"]["kubernetes"]["role"] = role.into();
    connection["spec"]["grants"][0]["issuerHosts"] = json!([issuer_host]);
    Ok(connection)
}

/// `VaultJwtBinding` backstage-backend, with the issuer's address in it.
pub fn binding(issuer: &Issuer) -> Fallible<Value> {
    let mut binding: Value = serde_yaml::from_str(include_str!("../../manifests/samples/vaultjwtbinding.yaml"))?;
    binding["spec"]["auth"]["config"]["jwksUrl"] = issuer.jwks_url().into();
    binding["spec"]["auth"]["config"]["boundIssuer"] = issuer.url().into();
    Ok(binding)
}

/// Makes a namespace if it is not there.
pub async fn namespace(kube: &kube::Client, name: &str) -> Fallible<()> {
    let namespace =
        Namespace { metadata: ObjectMeta { name: Some(name.into()), ..Default::default() }, ..Default::default() };
    let namespaces: Api<Namespace> = Api::all(kube.clone());
    namespaces.patch(name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(&namespace)).await?;
    Ok(())
}

/// A Secret of one key in the binding's namespace.
pub async fn secret(kube: &kube::Client, name: &str, key: &str, value: &str) -> Fallible<()> {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: value},
    });
    let secrets: Api<Secret> = Api::namespaced(kube.clone(), NAMESPACE);
    secrets.patch(name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(&secret)).await?;
    Ok(())
}

/// The API of a custom resource's kind and namespace.
pub fn api_of(kube: &kube::Client, object: &Value) -> Api<DynamicObject> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("vault.badal.io", "v1alpha1", kind));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(kube.clone(), namespace, &resource),
        None => Api::all_with(kube.clone(), &resource),
    }
}

pub fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// As `kubectl apply --server-side` does.
pub async fn apply(kube: &kube::Client, object: &Value) -> Fallible<()> {
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api_of(kube, object).patch(name_of(object), &parameters, &Patch::Apply(object)).await?;
    Ok(())
}

/// Waits for `Ready` of what was applied last, and gives its message; an error tells the conditions as they stand.
pub async fn ready(kube: &kube::Client, object: &Value) -> Fallible<String> {
    let api = api_of(kube, object);
    let ready = eventually(Duration::from_secs(60), "", async || {
        let live = api.get(name_of(object)).await.ok()?;
        let message = condition(&live, "Ready")?["message"].as_str().unwrap_or_default();
        is_ready(&live).then(|| message.to_owned())
    });
    if let Ok(message) = ready.await {
        return Ok(message);
    }
    let status = api.get(name_of(object)).await?.data["status"].take();
    Err(format!("{} does not get ready: {:#}", name_of(object), status["conditions"]).into())
}

/// Whether its status says `Ready` of the spec as it is now.
pub fn is_ready(object: &DynamicObject) -> bool {
    object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation
        && condition(object, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// Asks for a reconcile now, as `flux reconcile` does.
pub async fn nudge(kube: &kube::Client, object: &Value) -> Fallible<()> {
    let at = crate::lab::unique("nudge");
    let patch = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": at}}});
    api_of(kube, object).patch(name_of(object), &PatchParams::default(), &Patch::Merge(&patch)).await?;
    Ok(())
}

fn condition<'a>(object: &'a DynamicObject, kind: &str) -> Option<&'a Value> {
    object.data["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}
