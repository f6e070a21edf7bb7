//! The operator as a process: how it starts, restarts and ends, and what it does when the cluster is not as it expects.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use serde_json::json;
use vault_jwt_operator::api::VaultJwtBinding;

use super::gate::{Behind, Gate};
use super::scenario::{Scenario, condition};
use crate::lab::operator::Operator;
use crate::lab::vault::VaultRequest;
use crate::lab::{Lab, eventually};

const PATIENCE: Duration = Duration::from_secs(60);

/// A lab of one's own for the life of the test process: a world borrows it for as long as it likes.
async fn own_lab(controller_manager: bool) -> (&'static Lab, String) {
    let lab: &'static Lab = Box::leak(Box::new(Lab::start(controller_manager).await.unwrap()));
    let role = lab.operator_account("default").await.unwrap();
    (lab, role)
}

fn start(lab: &Lab) -> Operator {
    Operator::start(lab, &["--service-account", "default/operator"]).unwrap()
}

/// The founding case under another name, and without what only one binding can have.
fn small(world: &Scenario, name: &str) -> serde_json::Value {
    let mut spec = world.spec();
    spec["roles"][0]["name"] = json!(world.name(name));
    spec["roles"][0]["tokenPolicies"] = json!([world.name(name)]);
    spec["policies"][0]["name"] = json!(world.name(name));
    spec["kv"] = json!([]);
    spec["auth"].as_object_mut().unwrap().remove("config");
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_does_not_answer_holds_up_no_binding_of_another() {
    let (lab, role) = own_lab(false).await;
    let _operator = Operator::start(lab, &["--service-account", "default/operator", "--concurrency", "1"]).unwrap();
    let (slow, sound) = tokio::join!(Scenario::on(lab, role.clone()), Scenario::on(lab, role));
    let gate = Gate::before(lab.vault_server.address()).await;
    let mut connection = slow.connection_spec(&slow.role);
    connection["address"] = json!(gate.address());
    slow.connect(&connection).await;
    for name in ["a", "b", "c"] {
        slow.apply(name, &small(&slow, name)).await;
        slow.ready(name).await;
    }
    gate.lead_to(Behind::Silence);
    let before = gate.knocks();
    for name in ["a", "b", "c"] {
        let mut spec = small(&slow, name);
        spec["roles"][0]["boundSubject"] = json!("edited");
        slow.apply(name, &spec).await;
    }
    sound.eventually("a pass waits for the silent Vault", async || gate.knocks() > before).await;
    sound.apply("backend", &sound.spec()).await;
    sound.ready("backend").await;
    for name in ["a", "b", "c"] {
        let binding = slow.bindings().get(name).await.unwrap();
        assert_eq!(condition(&binding, "Ready").unwrap().0, "True", "{name} was waited for: {:?}", binding.status);
    }
    gate.lead_to(Behind::Vault);
    for name in ["a", "b", "c"] {
        slow.ready(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_in_time_leaves_no_token_and_its_restart_writes_nothing() {
    let (lab, role) = own_lab(false).await;
    let operator = start(lab);
    let world = Scenario::on(lab, role).await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    let rival = {
        let mut spec = world.spec();
        spec["auth"].as_object_mut().unwrap().remove("config");
        spec["kv"] = json!([]);
        spec
    };
    world.apply("rival", &rival).await;
    world.not_ready("rival", "Conflict").await;
    let mut ungranted = world.spec();
    ungranted["auth"] = json!({"mount": world.mount});
    ungranted["roles"] = json!([]);
    ungranted["kv"] = json!([]);
    ungranted["policies"][0]["name"] = json!("not-ours");
    world.apply("ungranted", &ungranted).await;
    world.not_ready("ungranted", "NotGranted").await;
    let mut suspended = rival.clone();
    suspended["suspend"] = json!(true);
    world.apply("suspended", &suspended).await;
    world.not_ready("suspended", "Suspended").await;
    let begun = std::time::Instant::now();
    let (status, log) = operator.stop().await.unwrap();
    assert!(status == 0 && begun.elapsed() < Duration::from_secs(10), "{status} after {:?}\n{log}", begun.elapsed());
    assert_eq!(lab.vault_server.tokens_of("auth/kubernetes/login").await, 0, "a token is left");

    let (vault, kube, asked) = (lab.vault_server.mark(), lab.control_plane.mark(), world.issuer.asked());
    let operator = start(lab);
    // Each is looked at: the config, the role and the policies are read.
    eventually(PATIENCE, "the first pass is over", async || {
        let requests = lab.vault_server.requests_since(vault);
        let read = |path: &str| requests.iter().any(|request| request.path.ends_with(path));
        let ours = format!("{}/metadata/app/tfc-token", world.kv);
        (read(&ours) && read(&format!("auth/{}/config", world.mount))).then_some(())
    })
    .await
    .unwrap();
    let (status, _) = operator.stop().await.unwrap();
    assert_eq!(status, 0);
    let writes: Vec<_> = lab.vault_server.requests_since(vault).into_iter().filter(VaultRequest::is_write).collect();
    assert!(writes.is_empty(), "{writes:?}");
    assert_eq!(world.issuer.asked(), asked);
    let requests = lab.control_plane.requests_since(kube);
    let writes: Vec<_> =
        requests.iter().filter(|request| request.is_write() && request.namespace == world.namespace).collect();
    assert!(writes.is_empty(), "{writes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_may_be_started_before_its_definitions_exist() {
    let (lab, role) = own_lab(false).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(lab.kube().await);
    let all = definitions.list(&ListParams::default()).await.unwrap();
    for definition in &all {
        definitions.delete(definition.metadata.name.as_deref().unwrap(), &DeleteParams::default()).await.unwrap();
    }
    // The apiserver takes its time over them.
    eventually(PATIENCE * 4, "the definitions are gone", async || {
        definitions.list(&ListParams::default()).await.ok()?.items.is_empty().then_some(())
    })
    .await
    .unwrap();
    let operator = start(lab);
    operator.wait_for_log("Watch failed").await.unwrap();
    for mut definition in all {
        definition.metadata.resource_version = None;
        definition.metadata.uid = None;
        definition.status = None;
        definitions.create(&PostParams::default(), &definition).await.unwrap();
    }
    operator.wait_for_log("Watching").await.unwrap();
    eventually(PATIENCE, "the definitions are served", async || {
        Api::<VaultJwtBinding>::all(lab.kube().await).list(&ListParams::default()).await.ok()
    })
    .await
    .unwrap();
    let world = Scenario::on(lab, role).await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_it_cannot_decode_is_reported_and_stops_no_other() {
    let (lab, role) = own_lab(false).await;
    let operator = start(lab);
    let world = Scenario::on(lab, role).await;
    world.apply("broken", &world.spec()).await;
    let managed = world.ready("broken").await.status.unwrap().managed_objects;
    let doomed = small(&world, "doomed");
    world.apply("doomed", &doomed).await;
    world.ready("doomed").await;

    // An older schema let more pass.
    let definitions: Api<CustomResourceDefinition> = Api::all(world.kube.clone());
    let name = "vaultjwtbindings.vault.badal.io";
    let strict = definitions.get(name).await.unwrap();
    let drift = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/drift";
    let loosen = json!([{"op": "replace", "path": drift, "value": {"type": "string"}}]);
    let loosen: json_patch::Patch = serde_json::from_value(loosen).unwrap();
    definitions.patch(name, &PatchParams::default(), &Patch::Json::<()>(loosen)).await.unwrap();
    let resource = ApiResource::erase::<VaultJwtBinding>(&());
    let api = Api::<DynamicObject>::namespaced_with(world.kube.clone(), &world.namespace, &resource);
    let patch = json!({"spec": {"drift": "Sometimes"}});
    eventually(PATIENCE, "the looser schema takes it", async || {
        api.patch("broken", &PatchParams::default(), &Patch::Merge(&patch)).await.ok()
    })
    .await
    .unwrap();
    api.patch("doomed", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let schema = json!([{"op": "replace", "path": "/spec", "value": strict.spec}]);
    let schema: json_patch::Patch = serde_json::from_value(schema).unwrap();
    definitions.patch(name, &PatchParams::default(), &Patch::Json::<()>(schema)).await.unwrap();

    let status = async |pointer: &str| {
        let object = api.get("broken").await.ok()?;
        object.data["status"].pointer(pointer).cloned()
    };
    let reported = async || (status("/conditions/0/reason").await? == "Undecodable").then_some(());
    eventually(PATIENCE, "it is reported", reported).await.unwrap();
    let conditions = status("/conditions").await.unwrap();
    assert!(conditions.to_string().contains("cannot decode"), "{conditions}");
    assert_eq!(status("/managedObjects").await.unwrap().as_array().unwrap().len(), managed.len(), "the record stays");
    // Its work stands, and others go on; also after a restart.
    let other = small(&world, "other");
    world.apply("other", &other).await;
    world.ready("other").await;
    operator.stop().await.unwrap();
    let operator = start(lab);
    operator.wait_for_log("Watching").await.unwrap();
    world.nudge("other").await;
    assert_eq!(world.role("backend").await.0, 200);
    assert_eq!(status("/conditions").await.unwrap(), conditions, "reported once");
    // To be deleted it need not be understood.
    api.delete("doomed", &DeleteParams::default()).await.unwrap();
    world.eventually("doomed is gone", async || api.get_opt("doomed").await.unwrap().is_none()).await;
    assert_eq!(world.role("doomed").await.0, 404);

    // Corrected, it goes on where it was.
    let corrected = json!({"spec": {"drift": "Correct"}});
    api.patch("broken", &PatchParams::default(), &Patch::Merge(&corrected)).await.unwrap();
    world.ready("broken").await;
    world.delete("broken").await;
    assert_eq!(world.role("backend").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_namespace_takes_its_bindings_and_their_objects_along() {
    let (lab, role) = own_lab(true).await;
    let _operator = start(lab);
    let world = Scenario::on(lab, role).await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    let namespaces = Api::<k8s_openapi::api::core::v1::Namespace>::all(world.kube.clone());
    namespaces.delete(&world.namespace, &DeleteParams::default()).await.unwrap();
    eventually(PATIENCE, "the namespace is gone", async || {
        namespaces.get_opt(&world.namespace).await.ok()?.is_none().then_some(())
    })
    .await
    .unwrap();
    assert_eq!(world.role("backend").await.0, 404);
    assert_eq!(world.vault.get(&format!("{}/metadata/app/tfc-token", world.kv)).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_when_the_apiserver_was_away() {
    let (lab, role) = own_lab(false).await;
    let operator = start(lab);
    let world = Scenario::on(lab, role).await;
    let mut spec = world.spec();
    world.apply("backend", &spec).await;
    world.ready("backend").await;
    let mark = lab.vault_server.mark();
    lab.control_plane.restart_api_server(async || operator.wait_for_log("Watch failed").await.unwrap()).await.unwrap();
    spec["roles"][0]["boundSubject"] = json!("edited");
    world.eventually("the edit is taken", async || world.try_apply("backend", &spec).await.is_ok()).await;
    world.ready("backend").await;
    assert_eq!(world.role("backend").await.1["bound_subject"], "edited");
    let requests = lab.vault_server.requests_since(mark);
    let logins = requests.iter().filter(|request| request.is_login()).count();
    let writes: Vec<_> = requests.iter().filter(|request| request.is_write()).collect();
    assert!(logins == 0 && writes.len() == 1, "{logins} logins, {writes:?}");
}
