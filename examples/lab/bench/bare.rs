//! The yardstick for the operator's speed: the requests that it made, sent again by nothing but an HTTP client with as
//! many at a time, to a Vault as empty as the first one was.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Method;
use serde_json::{Value, json};

use super::workload::{CONCURRENCY, KV_MOUNT, MOUNT};
use crate::lab::vault::VaultRequest;
use crate::lab::{Fallible, Issuer, VaultServer};

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
