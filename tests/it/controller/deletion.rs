//! A binding is deleted: what it made goes with it, and what is in the way is said.

use kube::ResourceExt;
use kube::api::{Api, DeleteParams};
use serde_json::json;
use vault_jwt_operator::api::status::{ManagedObject, ObjectKind};
use vault_jwt_operator::api::{VaultConnection, VaultJwtBinding};

use super::gate::{Behind, Gate};
use super::scenario::{Scenario, condition, message};

impl Scenario {
    async fn ask_to_delete(&self, name: &str) {
        self.bindings().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until a binding that is being deleted says why it is still there.
    async fn held_up(&self, name: &str) -> VaultJwtBinding {
        self.wait(name, &format!("{name} says what holds it up"), |binding| {
            binding.metadata.deletion_timestamp.is_some() && message(binding, "Ready").contains("cannot be deleted")
        })
        .await
    }

    async fn gated(&self) -> Gate {
        let gate = Gate::before(self.lab.vault_server.address()).await;
        let mut connection = self.connection_spec(&self.role);
        connection["address"] = json!(gate.address());
        self.connect(&connection).await;
        gate
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_vault_down_the_binding_stays_says_why_and_leaks_nothing() {
    let world = Scenario::start().await;
    let gate = world.gated().await;
    world.apply("backend", &world.spec()).await;
    let managed = world.ready("backend").await.status.unwrap().managed_objects;
    gate.lead_to(Behind::Nothing);
    world.ask_to_delete("backend").await;
    let binding = world.held_up("backend").await;
    let said = message(&binding, "Ready");
    assert!(said.contains("object(s)") && said.contains("deletionPolicy: Orphan"), "{said}");
    assert_eq!((condition(&binding, "Ready").unwrap().0, condition(&binding, "Stalled")), ("False".into(), None));
    assert!(!binding.finalizers().is_empty());
    let left = binding.status.unwrap().managed_objects;
    // The mount and its config stay in any case, and may have been let go of already.
    let deletable = |managed: &&ManagedObject| !matches!(managed.kind, ObjectKind::AuthMount | ObjectKind::JwtConfig);
    assert!(managed.iter().filter(deletable).all(|managed| left.contains(managed)), "{left:?}");
    gate.lead_to(Behind::Vault);
    world.gone("backend").await;
    assert_eq!(world.role("backend").await.0, 404);
    assert_eq!(world.vault.get(&format!("{}/metadata/app/tfc-token", world.kv)).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn orphan_lets_go_also_when_it_is_set_while_deleting() {
    let world = Scenario::start().await;
    let gate = world.gated().await;
    let mut spec = world.spec();
    world.apply("backend", &spec).await;
    world.ready("backend").await;
    gate.lead_to(Behind::Nothing);
    world.ask_to_delete("backend").await;
    world.held_up("backend").await;
    spec["deletionPolicy"] = json!("Orphan");
    world.apply("backend", &spec).await;
    world.gone("backend").await;
    assert_eq!(world.role("backend").await.0, 200);
    let notes = world.events_soon("backend", "Orphaned").await.join("\n");
    assert!(notes.contains(&world.name("backend")) && notes.contains("Left in Vault"), "{notes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_connection_it_waits_for_it() {
    let world = Scenario::start().await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    let connections = Api::<VaultConnection>::all(world.kube.clone());
    connections.delete(&world.connection, &DeleteParams::default()).await.unwrap();
    world.not_ready("backend", "ConnectionNotFound").await;
    world.ask_to_delete("backend").await;
    let binding = world.held_up("backend").await;
    let said = message(&binding, "Ready");
    assert!(said.contains(&world.connection) && said.contains("Orphan"), "{said}");
    world.connect(&world.connection_spec(&world.role)).await;
    world.gone("backend").await;
    assert_eq!(world.role("backend").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_made_again_under_its_name_takes_its_own_back() {
    let world = Scenario::start().await;
    let mut spec = world.spec();
    spec["deletionPolicy"] = json!("Orphan");
    world.apply("backend", &spec).await;
    world.ready("backend").await;
    world.delete("backend").await;
    spec["deletionPolicy"] = json!("Delete");
    // It differs by now, and the marker says whose it is.
    spec["policies"][0]["rules"][0]["capabilities"] = json!(["read", "list"]);
    world.secret("tfc-token", &json!({"token": "s3cr3t-2"})).await;
    let mark = world.lab.vault_server.mark();
    world.apply("backend", &spec).await;
    world.ready("backend").await;
    let requests = world.lab.vault_server.requests_since(mark);
    assert!(!requests.iter().any(|request| request.operation == "delete" && request.path.contains(&world.prefix)));
    let policy = world.vault.read(&format!("sys/policies/acl/{}", world.name("backend"))).await;
    assert!(policy.to_string().contains("list"), "{policy}");
    let secret = world.vault.read(&format!("{}/data/app/tfc-token", world.kv)).await;
    assert_eq!(secret["data"]["Badal_devex"], "s3cr3t-2");
    world.delete("backend").await;
    assert_eq!(world.role("backend").await.0, 404);
    assert_eq!(world.vault.get(&format!("{}/metadata/app/tfc-token", world.kv)).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_from_vault_already_holds_nothing_up() {
    let world = Scenario::start().await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    for path in [
        format!("sys/auth/{}", world.mount),
        format!("sys/policies/acl/{}", world.name("backend")),
        format!("{}/metadata/app/tfc-token", world.kv),
    ] {
        assert_eq!(world.vault.delete(&path).await.0, 204, "{path}");
    }
    world.delete("backend").await;
}
