//! N bindings of the size that the aims are stated for: 1 role, 2 policies, 3 KV secrets each, all on one mount whose
//! one config the first of them owns.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::{Value, json};

use crate::lab::{Fallible, Issuer, Lab};
use crate::resources::{self, OPERATOR_NAMESPACE};

pub const MOUNT: &str = "bench-jwt";
pub const KV_MOUNT: &str = "bench-kv";
/// How many requests are under way at a time: to the apiserver when applying, to Vault by default.
pub const CONCURRENCY: usize = 16;

const NAMESPACE: &str = "bench";

/// The name of a binding and of its role.
pub fn name_of(number: usize) -> String {
    format!("bench-{number}")
}

pub struct Workload {
    size: usize,
    connection: Value,
    config: Value,
}

impl Workload {
    /// Everything but the bindings.
    pub async fn prepare(lab: &Lab, issuer: &Issuer, size: usize) -> Fallible<Self> {
        let kube = lab.kube().await;
        resources::namespace(&kube, NAMESPACE).await?;
        resources::namespace(&kube, OPERATOR_NAMESPACE).await?;
        let role = lab.operator_account(OPERATOR_NAMESPACE).await?;
        lab.vault().enable(&format!("mounts/{KV_MOUNT}"), "kv-v2").await;
        let mut connection = resources::connection(lab, &role, &issuer.host())?;
        connection["spec"]["limits"] = json!({"requestsPerSecond": 10_000, "concurrentRequests": CONCURRENCY});
        connection["spec"]["grants"] = json!([{
            "namespaces": {"names": [NAMESPACE]},
            "authMounts": [{"path": MOUNT, "manageConfig": true, "enable": true}],
            "roles": ["bench-*"], "policies": ["bench-*"], "attachablePolicies": ["bench-*"],
            "policyRules": [{"path": format!("{KV_MOUNT}/*"), "capabilities": ["read", "list"]}],
            "kv": [{"mount": KV_MOUNT, "paths": ["*"]}],
            "issuerHosts": [issuer.host()], "allowHttp": true, "maxTokenTtl": "24h",
        }]);
        resources::apply(&kube, &connection).await?;
        let secrets: Api<Secret> = Api::namespaced(kube, NAMESPACE);
        let secrets = &secrets;
        stream::iter((0..size).map(Ok::<_, kube::Error>))
            .try_for_each_concurrent(CONCURRENCY, async |number| {
                let name = format!("bench-{number}");
                let secret = json!({
                    "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"value": name},
                });
                secrets.patch(&name, &PatchParams::apply("bench"), &Patch::Apply(&secret)).await.map(drop)
            })
            .await?;
        let config = json!({
            "jwksUrl": issuer.jwks_url(), "boundIssuer": issuer.url(), "supportedAlgorithms": ["ES256"],
        });
        Ok(Self { size, connection, config })
    }

    pub fn size(&self) -> usize {
        self.size
    }

    pub fn connection(&self) -> &Value {
        &self.connection
    }

    pub fn binding(&self, number: usize) -> Value {
        let name = name_of(number);
        let policies = ["read", "list"].map(|capability| {
            json!({
                "name": format!("{name}-{capability}"),
                "rules": [{"path": format!("{KV_MOUNT}/data/{name}/*"), "capabilities": [capability]}],
            })
        });
        let kv = [1, 2, 3].map(|entry| {
            json!({
                "mount": KV_MOUNT, "path": format!("{name}/entry-{entry}"),
                "data": [{"key": "value", "secretKeyRef": {"name": name, "key": "value"}}],
            })
        });
        let mut binding = json!({
            "apiVersion": "vault.badal.io/v1alpha1", "kind": "VaultJwtBinding",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "connectionRef": {"name": "main"}, "interval": "30s",
                "auth": {"mount": MOUNT, "enable": true},
                "roles": [{
                    "name": name, "boundAudiences": ["bench"], "boundSubject": name, "userClaim": "sub",
                    "tokenPolicies": policies.each_ref().map(|policy| policy["name"].clone()),
                    "tokenTtl": "1h", "tokenMaxTtl": "24h", "clockSkewLeeway": "60s",
                }],
                "policies": policies, "kv": kv,
            },
        });
        if number == 0 {
            binding["spec"]["auth"]["config"] = self.config.clone();
        }
        binding
    }

    /// Applies all; the time until all are Ready.
    pub async fn apply(&self, lab: &Lab, patience: Duration) -> Fallible<Duration> {
        let kube = lab.kube().await;
        let start = Instant::now();
        let all = async {
            let apply = stream::iter((0..self.size).map(Ok)).try_for_each_concurrent(CONCURRENCY, async |number| {
                resources::apply(&kube, &self.binding(number)).await
            });
            let ready = self.watch(&kube, |live| live.len() == self.size && live.values().all(|ready| *ready));
            tokio::try_join!(apply, ready)
        };
        tokio::time::timeout(patience, all).await.map_err(|_| format!("not all ready within {patience:?}"))??;
        Ok(start.elapsed())
    }

    /// Deletes all; the time until all are gone.
    pub async fn delete(&self, lab: &Lab, patience: Duration) -> Fallible<Duration> {
        let kube = lab.kube().await;
        let start = Instant::now();
        let all = async {
            let delete = stream::iter((0..self.size).map(Ok)).try_for_each_concurrent(CONCURRENCY, async |number| {
                let api = resources::api_of(&kube, &self.binding(number));
                api.delete(&name_of(number), &DeleteParams::default()).await?;
                Ok(())
            });
            tokio::try_join!(delete, self.watch(&kube, BTreeMap::is_empty))
        };
        tokio::time::timeout(patience, all).await.map_err(|_| format!("not all gone within {patience:?}"))??;
        Ok(start.elapsed())
    }

    /// How many roles, policies and KV secrets of the bindings are in Vault.
    pub async fn left(&self, lab: &Lab) -> usize {
        let vault = lab.vault();
        let mut left = 0;
        for path in [format!("auth/{MOUNT}/role"), format!("{KV_MOUNT}/metadata"), "sys/policies/acl".into()] {
            let (_, answer) = vault.list(&path).await;
            let keys = answer["data"]["keys"].as_array().into_iter().flatten();
            left += keys.filter(|key| key.as_str().is_some_and(|key| key.starts_with("bench-"))).count();
        }
        left
    }

    /// Watches the bindings until `done` says so of the names of those that live and whether they are Ready.
    async fn watch(&self, kube: &kube::Client, done: impl Fn(&BTreeMap<String, bool>) -> bool) -> Fallible<()> {
        let api = resources::api_of(kube, &self.binding(0));
        let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        let (mut live, mut listed) = (BTreeMap::new(), false);
        while let Some(event) = events.next().await {
            // A watcher that fails begins anew by itself.
            match event {
                Ok(Event::Init) => (live, listed) = (BTreeMap::new(), false),
                Ok(Event::InitDone) => listed = true,
                Ok(Event::InitApply(binding) | Event::Apply(binding)) => {
                    let ready = resources::is_ready(&binding);
                    live.insert(binding.metadata.name.unwrap_or_default(), ready);
                }
                Ok(Event::Delete(binding)) => drop(live.remove(&binding.metadata.name.unwrap_or_default())),
                Err(_) => {}
            }
            if listed && done(&live) {
                return Ok(());
            }
        }
        Err("the watch ended".into())
    }
}
