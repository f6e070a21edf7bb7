//! What people and GitOps tools are told: transitions, once, and nothing that moves while nothing changes.

use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use vault_jwt_operator::api::VaultJwtBinding;

use super::gate::{Behind, Gate};
use super::scenario::{Scenario, condition};

impl Scenario {
    /// How many times something was told about a binding.
    async fn told(&self, name: &str) -> i32 {
        use k8s_openapi::api::events::v1::Event;
        let events = Api::<Event>::namespaced(self.kube.clone(), &self.namespace);
        let all = events.list(&ListParams::default()).await.unwrap();
        let about = |event: &&Event| event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(name);
        all.items.iter().filter(about).map(|event| event.series.as_ref().map_or(1, |series| series.count)).sum()
    }
}

/// A status without the trace of the request for a pass.
fn standing(binding: &VaultJwtBinding) -> Value {
    let mut status = serde_json::to_value(&binding.status).unwrap();
    status.as_object_mut().unwrap().remove("lastHandledReconcileAt");
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_that_fails_again_and_again_says_so_once() {
    let world = Scenario::start().await;
    let gate = Gate::before(world.lab.vault_server.address()).await;
    let mut connection = world.connection_spec(&world.role);
    connection["address"] = json!(gate.address());
    world.connect(&connection).await;
    let mut missing = world.spec();
    missing["kv"][0]["data"][0]["secretKeyRef"]["name"] = json!("missing");
    let mut ungranted = world.spec();
    ungranted["roles"][0]["name"] = json!("not-ours");
    ungranted["auth"].as_object_mut().unwrap().remove("config");
    ungranted["policies"] = json!([]);
    ungranted["kv"] = json!([]);
    world.apply("missing", &missing).await;
    world.apply("ungranted", &ungranted).await;
    world.not_ready("missing", "ReferenceNotFound").await;
    world.not_ready("ungranted", "NotGranted").await;
    for name in ["missing", "ungranted"] {
        let before = standing(&world.nudge(name).await);
        for _ in 0..5 {
            // The request is handled although the pass fails, and nothing else moves.
            assert_eq!(standing(&world.nudge(name).await), before, "{name}");
        }
        let told = world.events_soon(name, "NotReady").await;
        assert_eq!(told.len(), 1, "{name}: {told:?}");
        assert_eq!(world.told(name).await, 1, "{name}");
    }
    // The same with Vault away, through many retries of its own.
    gate.lead_to(Behind::Nothing);
    world.nudge("missing").await;
    let reason = |binding: &VaultJwtBinding| condition(binding, "Ready").unwrap().1;
    world.wait("ungranted", "the connection is the trouble", |binding| reason(binding) == "ConnectionNotReady").await;
    let before = standing(&world.nudge("ungranted").await);
    for _ in 0..5 {
        assert_eq!(standing(&world.nudge("ungranted").await), before);
    }
    assert!(world.told("ungranted").await <= 3, "{}", world.told("ungranted").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn becoming_well_again_is_said_and_being_well_is_not() {
    let world = Scenario::start().await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    for _ in 0..3 {
        world.nudge("backend").await;
    }
    assert_eq!(world.told("backend").await, 0, "all was well from the start");
    let mut spec = world.spec();
    spec["roles"][0]["name"] = json!("not-ours");
    world.apply("backend", &spec).await;
    world.not_ready("backend", "NotGranted").await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    world.events_soon("backend", "Recovered").await;
    assert_eq!(world.events("backend", "NotReady").await.len(), 1);
    assert_eq!(world.events("backend", "Recovered").await.len(), 1);
}
