//! The yardstick for the operator's speed: the requests that it made, sent again by nothing but an HTTP client with as
//! many at a time, to a Vault as empty as the first one was.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{DeleteParams, Patch, PatchParams};
use reqwest::Method;
use serde_json::{Value, json};

use super::workload::{CONCURRENCY, KV_MOUNT, MOUNT, Workload};
use crate::lab::vault::VaultRequest;
use crate::lab::{Fallible, Issuer, Lab, VaultServer};
use crate::resources;

/// Sends these requests again; how long that takes.
pub async fn replay(requests: &[VaultRequest], issuer: &Issuer) -> Fallible<Duration> {
    let vault = VaultServer::start(false).await?;
    vault.api().enable(&format!("auth/{MOUNT}"), "jwt").await;
    vault.api().enable(&format!("mounts/{KV_MOUNT}"), "kv-v2").await;
    let client = reqwest::Client::new();
    let start = Instant::now();
    // Logins and mounts belong to the start, not to the bindings.
    let bindings = requests.iter().filter(|request| !request.is_login() && !request.path.starts_with("sys/auth"));
    stream::iter(bindings.map(|request| {
        let method = match request.operation.as_str() {
            "read" => Method::GET,
            "list" => Method::from_bytes(b"LIST").unwrap_or_default(),
            "patch" => Method::PATCH,
            "delete" => Method::DELETE,
            _ => Method::POST,
        };
        let mut sent = client
            .request(method.clone(), format!("{}/v1/{}", vault.address(), request.path))
            .header("X-Vault-Token", vault.root_token());
        if method == Method::POST {
            sent = sent.json(&body(&request.path, issuer));
        } else if method == Method::PATCH {
            let patch = body(&request.path, issuer).to_string();
            sent = sent.header("Content-Type", "application/merge-patch+json").body(patch);
        }
        async move { sent.send().await?.bytes().await }
    }))
    .buffer_unordered(CONCURRENCY)
    .try_for_each(async |_| Ok(()))
    .await?;
    Ok(start.elapsed())
}

/// What the apiserver takes for the writes that each binding costs at the least, without an operator: it is applied,
/// gets a finalizer, and its status is written before and after Vault is.
pub async fn kubernetes(lab: &Lab, workload: &Workload) -> Fallible<Duration> {
    let kube = lab.kube().await;
    let merge = async |number: usize, patch: &Value| -> Fallible<()> {
        let binding = workload.binding(number);
        let api = resources::api_of(&kube, &binding);
        api.patch(resources::name_of(&binding), &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    };
    let status = async |number: usize, state: &str| -> Fallible<()> {
        let binding = workload.binding(number);
        let managed = json!([{"kind": "Role", "path": format!("{MOUNT}/{number}"), "state": state}]);
        let patch = json!({
            "apiVersion": binding["apiVersion"], "kind": binding["kind"], "status": {"managedObjects": managed},
        });
        let api = resources::api_of(&kube, &binding);
        let parameters = PatchParams::apply("bench-status").force();
        api.patch_status(resources::name_of(&binding), &parameters, &Patch::Apply(&patch)).await?;
        Ok(())
    };
    let all = || stream::iter((0..workload.size()).map(Ok::<_, Box<dyn std::error::Error + Send + Sync>>));
    let start = Instant::now();
    all()
        .try_for_each_concurrent(CONCURRENCY, async |number| {
            resources::apply(&kube, &workload.binding(number)).await?;
            merge(number, &json!({"metadata": {"finalizers": ["bench.example/hold"]}})).await?;
            status(number, "Pending").await?;
            status(number, "Created").await
        })
        .await?;
    let time = start.elapsed();
    all()
        .try_for_each_concurrent(CONCURRENCY, async |number| {
            merge(number, &json!({"metadata": {"finalizers": null}})).await?;
            let binding = workload.binding(number);
            let api = resources::api_of(&kube, &binding);
            api.delete(resources::name_of(&binding), &DeleteParams::default()).await?;
            Ok(())
        })
        .await?;
    Ok(time)
}

/// A body of the kind that the audit log, which hides bodies, must have had for this path.
fn body(path: &str, issuer: &Issuer) -> Value {
    if path.starts_with("sys/policies") {
        json!({"policy": format!("path \"{KV_MOUNT}/data/*\" {{\n  capabilities = [\"read\"]\n}}\n")})
    } else if path.ends_with("/config") {
        json!({"jwks_url": issuer.jwks_url(), "bound_issuer": issuer.url()})
    } else if path.contains("/role/") {
        json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["backstage"], "clock_skew_leeway": 60})
    } else if path.contains("/metadata/") {
        json!({"custom_metadata": {"owner": "bench"}})
    } else {
        json!({"data": {"value": "bench"}})
    }
}
