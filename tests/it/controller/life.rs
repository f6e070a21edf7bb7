//! The life of one binding: made, kept right, deleted.

use std::time::Duration;

use serde_json::{Value, json};

use super::scenario::{Scenario, condition};
use crate::lab::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_makes_everything_that_it_says() {
    let world = Scenario::start().await;
    world.apply("backend", &world.spec()).await;
    let binding = world.ready("backend").await;

    let mounts = world.vault.read("sys/auth").await;
    assert_eq!(mounts[format!("{}/", world.mount)]["type"], "jwt");
    let config = world.vault.read(&format!("auth/{}/config", world.mount)).await;
    assert_eq!(config["jwks_url"], world.issuer.jwks_url());
    assert_eq!(config["bound_issuer"], world.issuer.url());
    let (_, role) = world.role("backend").await;
    assert_eq!(role["role_type"], "jwt");
    assert_eq!((&role["clock_skew_leeway"], &role["not_before_leeway"]), (&json!(60), &json!(-1)));
    let name = world.name("backend");
    let policy = world.vault.read(&format!("sys/policies/acl/{name}")).await;
    assert!(policy["policy"].as_str().unwrap().contains(&format!("path \"{}/data/app/*\"", world.kv)), "{policy}");
    let secret = world.vault.read(&format!("{}/data/app/tfc-token", world.kv)).await;
    assert_eq!(secret["data"], json!({"Badal_devex": "s3cr3t-value"}));

    let kinds: Vec<String> = binding
        .status
        .unwrap()
        .managed_objects
        .iter()
        .map(|managed| format!("{:?} {:?}", managed.kind, managed.state))
        .collect();
    assert_eq!(kinds, ["AuthMount Created", "Policy Created", "Kv Created", "JwtConfig Created", "Role Created"]);

    // The service logs in with its own token and reads its secret.
    let token = world.issuer.token("backstage-backend", "backstage", &json!({"iss": world.issuer.url()}));
    let (status, login) = world.vault.login(&world.mount, &name, &token).await;
    assert_eq!(status, 200, "{login}");
    let service = world.lab.vault_server.as_token(login["auth"]["client_token"].as_str().unwrap());
    let read: Value = service.read(&format!("{}/data/app/tfc-token", world.kv)).await;
    assert_eq!(read["data"]["Badal_devex"], "s3cr3t-value");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_binding_takes_along_what_it_made_and_nothing_else() {
    let world = Scenario::start().await;
    let other = json!({"data": {"theirs": "kept"}});
    world.vault.write(&format!("{}/data/app/tfc-token", world.kv), &other).await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    let secret = world.vault.read(&format!("{}/data/app/tfc-token", world.kv)).await;
    assert_eq!(secret["data"], json!({"theirs": "kept", "Badal_devex": "s3cr3t-value"}));

    world.delete("backend").await;
    assert_eq!(world.role("backend").await.0, 404);
    assert_eq!(world.vault.get(&format!("sys/policies/acl/{}", world.name("backend"))).await.0, 404);
    let secret = world.vault.read(&format!("{}/data/app/tfc-token", world.kv)).await;
    assert_eq!(secret["data"], json!({"theirs": "kept"}));
    // The mount stays, or every token of everyone would be revoked; its config cannot be deleted.
    assert_eq!(world.vault.get(&format!("auth/{}/config", world.mount)).await.0, 200);
    let notes = world.events("backend", "Deleted").await;
    assert!(notes.iter().any(|note| note.contains("JwtConfig") && note.contains("cannot delete")), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_nobody_else_uses_goes_with_all_its_versions() {
    let world = Scenario::start().await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    world.delete("backend").await;
    assert_eq!(world.vault.get(&format!("{}/metadata/app/tfc-token", world.kv)).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn steady_state_only_reads_and_writes_no_status() {
    let world = Scenario::start().await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    // The first pass after the writes may have to look at what it wrote.
    let before = world.nudge("backend").await;
    let asked = world.issuer.asked();
    let (vault, kube) = (world.lab.vault_server.mark(), world.lab.control_plane.mark());
    let after = world.nudge("backend").await;

    let about = |path: &str| path.contains(&world.mount) || path.contains(&world.kv) || path.contains(&world.prefix);
    let requests = world.lab.vault_server.requests_since(vault);
    let ours: Vec<_> = requests.iter().filter(|request| about(&request.path)).collect();
    assert!(ours.iter().all(|request| !request.is_write() && !request.is_login()), "{ours:?}");
    // Config, role, policy and the KV entry's metadata.
    assert_eq!(ours.len(), 4, "{ours:?}");
    assert_eq!(world.issuer.asked(), asked, "the key set was fetched");
    let writes = || {
        let requests = world.lab.control_plane.requests_since(kube).into_iter();
        requests.filter(|request| request.is_write() && request.namespace == world.namespace).collect::<Vec<_>>()
    };
    // The audit log may be a moment behind what was seen.
    let both = async || (writes().len() >= 2).then_some(());
    eventually(Duration::from_secs(10), "both writes are in the audit log", both).await.unwrap();
    // The test's own annotation, and the status that says it was handled.
    assert_eq!(writes().len(), 2, "{:?}", writes());
    let times = |binding: &vault_jwt_operator::api::VaultJwtBinding| {
        binding.status.clone().unwrap().conditions.into_iter().map(|c| c.last_transition_time).collect::<Vec<_>>()
    };
    assert_eq!(times(&before), times(&after));
    assert_eq!(condition(&after, "Ready"), Some(("True".into(), "Succeeded".into())));
}
