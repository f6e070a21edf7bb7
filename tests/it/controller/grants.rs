//! No grant, no write: what a connection grants is asked on every pass, and what it no longer grants goes.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use vault_jwt_operator::api::status::ObjectKind;
use vault_jwt_operator::api::{VaultConnection, VaultJwtBinding};

use super::scenario::{Scenario, condition, message};

/// What is taken out of the one grant, the list that the message has to name, and what is gone then: config, role,
/// policy, value.
fn losses(world: &Scenario) -> Vec<(Value, &'static str, [bool; 4])> {
    let mount = |more: Value| {
        let mut mount = json!({"path": world.mount});
        mount.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "authMounts": [mount] })
    };
    let (gone, kept) = (true, false);
    vec![
        (json!({"roles": []}), "'roles'", [kept, gone, kept, kept]),
        (json!({"roles": ["backstage-*"]}), "'roles'", [kept, gone, kept, kept]),
        (json!({"policies": []}), "'policies'", [kept, kept, gone, kept]),
        (json!({"attachablePolicies": ["other"]}), "'attachablePolicies'", [kept, gone, kept, kept]),
        (json!({"policyRules": []}), "'policyRules'", [kept, kept, gone, kept]),
        (
            json!({"policyRules": [{"path": format!("{}/data/other/*", world.kv), "capabilities": ["read"]}]}),
            "'policyRules'",
            [kept, kept, gone, kept],
        ),
        (
            json!({"policyRules": [{"path": format!("{}/*", world.kv), "capabilities": ["list"]}]}),
            "'policyRules'",
            [kept, kept, gone, kept],
        ),
        (json!({"kv": []}), "'kv'", [kept, kept, kept, gone]),
        (json!({"kv": [{"mount": world.kv, "paths": ["ap"]}]}), "'kv'", [kept, kept, kept, gone]),
        (json!({"maxTokenTtl": "1h"}), "'maxTokenTtl'", [kept, gone, kept, kept]),
        // A config stays in any case: Vault cannot delete one.
        (json!({"issuerHosts": []}), "'issuerHosts'", [kept; 4]),
        (json!({"allowHttp": false}), "'allowHttp'", [kept; 4]),
        (mount(json!({"enable": true})), "'authMounts[].manageConfig'", [kept; 4]),
        (json!({"authMounts": []}), "'authMounts'", [kept, gone, kept, kept]),
        (json!({"namespaces": {"names": ["another"]}}), "no grant for namespace", [kept, gone, gone, gone]),
    ]
}

impl Scenario {
    /// Which of config, role, policy and value are not there.
    async fn gone_of(&self) -> [bool; 4] {
        let paths = [
            format!("auth/{}/config", self.mount),
            format!("auth/{}/role/{}", self.mount, self.name("backend")),
            format!("sys/policies/acl/{}", self.name("backend")),
            format!("{}/data/app/tfc-token", self.kv),
        ];
        let mut gone = [false; 4];
        for (gone, path) in gone.iter_mut().zip(paths) {
            *gone = self.vault.get(&path).await.0 == 404;
        }
        gone
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_grant_nothing_is_written_and_the_lists_to_extend_are_named() {
    let world = Scenario::start().await;
    let mut connection = world.connection_spec(&world.role);
    connection["grants"] = json!([]);
    world.connect(&connection).await;
    let mark = world.lab.vault_server.mark();
    world.apply("backend", &world.spec()).await;
    let binding = world.not_ready("backend", "NotGranted").await;
    assert_eq!(condition(&binding, "Accepted"), Some(("False".into(), "NotGranted".into())));
    assert_eq!(condition(&binding, "Stalled"), Some(("True".into(), "NotGranted".into())));
    let said = message(&binding, "Accepted");
    for part in ["'authMounts'", "'policies'", "'kv'", "spec.policies[0].name", &world.namespace] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let ours = |path: &str| path.contains(&world.mount) || path.contains(&world.kv) || path.contains(&world.prefix);
    let requests = world.lab.vault_server.requests_since(mark);
    assert!(!requests.iter().any(|request| ours(&request.path) && request.is_write()), "{requests:?}");
    assert!(binding.status.unwrap().managed_objects.is_empty());

    world.connect(&world.connection_spec(&world.role)).await;
    world.ready("backend").await;
    assert_eq!(world.gone_of().await, [false; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_goes_takes_along_what_it_allowed_and_brings_it_back() {
    let world = Scenario::start().await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    for (change, list, gone) in losses(&world) {
        world.grant_this(&change).await;
        let binding = world.not_ready("backend", "NotGranted").await;
        assert!(message(&binding, "Ready").contains(list), "{change}: {}", message(&binding, "Ready"));
        assert_eq!(world.gone_of().await, gone, "{change}");
        world.grant_this(&json!({})).await;
        world.ready("backend").await;
        assert_eq!(world.gone_of().await, [false; 4], "{change} was taken back");
    }
    let removed = world.events("backend", "Removed").await.join("\n");
    assert!(removed.contains("Role") && removed.contains("Policy") && removed.contains("Kv"), "{removed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_by_label_follows_the_labels_of_the_namespace() {
    let world = Scenario::start().await;
    world.grant_this(&json!({"namespaces": {"selector": {"matchLabels": {"vault": "yes", "circle": "a"}}}})).await;
    let namespaces = Api::<Namespace>::all(world.kube.clone());
    let label = async |labels: Value| {
        let patch = json!({"metadata": {"labels": labels}});
        namespaces.patch(&world.namespace, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    };
    world.apply("backend", &world.spec()).await;
    world.not_ready("backend", "NotGranted").await;
    label(json!({"vault": "yes"})).await;
    label(json!({"circle": "a"})).await;
    world.ready("backend").await;
    assert_eq!(world.gone_of().await, [false; 4]);
    label(json!({"circle": "b"})).await;
    world.not_ready("backend", "NotGranted").await;
    assert_eq!(world.gone_of().await, [false, true, true, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_spec_does_not_outlive_the_grant() {
    let world = Scenario::start().await;
    world.grant_this(&json!({"rawPolicies": true})).await;
    let mut spec = world.spec();
    world.apply("backend", &spec).await;
    world.ready("backend").await;
    spec["policies"][0] = world.broken_policy();
    world.apply("backend", &spec).await;
    let binding = world.not_ready("backend", "Invalid").await;
    assert!(message(&binding, "Ready").contains("spec.policies[0].hcl"), "{}", message(&binding, "Ready"));
    assert_eq!(world.gone_of().await, [false; 4], "a mistake takes nothing away");
    world.grant_this(&json!({"rawPolicies": true, "policies": []})).await;
    world.wait("backend", "the policy is gone", |binding| message(binding, "Accepted").contains("'policies'")).await;
    assert_eq!(world.gone_of().await, [false, false, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_binding_does_not_keep_what_a_lost_grant_takes_away() {
    let world = Scenario::start().await;
    let mut spec = world.spec();
    world.apply("backend", &spec).await;
    world.ready("backend").await;
    spec["suspend"] = json!(true);
    world.apply("backend", &spec).await;
    world.not_ready("backend", "Suspended").await;
    world.vault.delete(&format!("sys/policies/acl/{}", world.name("backend"))).await;
    world.grant_this(&json!({"roles": []})).await;
    world.eventually("the role is gone", async || world.role("backend").await.0 == 404).await;
    assert_eq!(world.gone_of().await, [false, true, true, false], "nothing else is touched, nor put right");
    let role_is_owned = |binding: &VaultJwtBinding| {
        binding.status.iter().flat_map(|status| &status.managed_objects).any(|managed| managed.kind == ObjectKind::Role)
    };
    let binding = world.wait("backend", "the record says so", |binding| !role_is_owned(binding)).await;
    assert_eq!(condition(&binding, "Ready"), Some(("False".into(), "Suspended".into())));

    // Nor by no longer naming it.
    spec["kv"] = json!([]);
    world.apply("backend", &spec).await;
    world.judged("backend").await;
    assert_eq!(world.gone_of().await, [false, true, true, false]);
    world.grant_this(&json!({"roles": [], "kv": []})).await;
    world.eventually("the value is gone", async || world.gone_of().await[3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_never_ends_in_time_does_not_keep_what_a_lost_grant_takes_away() {
    let world = Scenario::start().await;
    let mut spec = world.spec();
    world.apply("backend", &spec).await;
    world.ready("backend").await;
    spec["timeout"] = json!("1s");
    world.apply("backend", &spec).await;
    world.ready("backend").await;
    // A pass makes more requests than one.
    let mut connection = world.connection_spec(&world.role);
    connection["limits"]["requestsPerSecond"] = json!(1);
    connection["grants"][0]["roles"] = json!([]);
    world.connect(&connection).await;
    world.eventually("the role is gone", async || world.role("backend").await.0 == 404).await;
    world.not_ready("backend", "TimedOut").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_connection_deletes_nothing_in_vault() {
    let world = Scenario::start().await;
    world.apply("backend", &world.spec()).await;
    let managed = world.ready("backend").await.status.unwrap().managed_objects;
    let connections = Api::<VaultConnection>::all(world.kube.clone());
    connections.delete(&world.connection, &DeleteParams::default()).await.unwrap();
    let binding = world.not_ready("backend", "ConnectionNotFound").await;
    assert_eq!(condition(&binding, "Stalled"), None, "it is waited for");
    assert_eq!(binding.status.unwrap().managed_objects, managed);
    assert_eq!(world.gone_of().await, [false; 4]);
    world.connect(&world.connection_spec(&world.role)).await;
    world.ready("backend").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_nearly_granted_are_refused() {
    let world = Scenario::start().await;
    let (inside, sibling) = (world.name("backend"), format!("{}x", world.prefix));
    // Vault reads `a..b` as it stands, `%2e` as `.`, and lower-cases names: none of these may name what is not granted.
    let hostile = [
        ("roles", json!({"name": sibling, "boundAudiences": ["a"], "userClaim": "sub", "tokenMaxTtl": "1h"})),
        (
            "policies",
            json!({"name": sibling, "rules": [{"path": format!("{}/x", world.kv), "capabilities": ["read"]}]}),
        ),
        (
            "policies",
            json!({"name": inside, "rules": [{"path": format!("{}x/y", world.kv), "capabilities": ["read"]}]}),
        ),
        ("policies", json!({"name": inside, "rules": [{"path": "+/x", "capabilities": ["read"]}]})),
        ("policies", json!({"name": inside, "rules": [{"path": "*", "capabilities": ["read"]}]})),
        ("policies", json!({"name": inside, "rules": [{"path": format!("{}/x", world.kv), "capabilities": ["sudo"]}]})),
        ("policies", json!({"name": inside, "hcl": "path \"sys/*\" { capabilities = [\"sudo\"] }"})),
        (
            "roles",
            json!({"name": inside, "boundAudiences": ["a"], "userClaim": "sub", "tokenMaxTtl": "1h", "tokenPolicies": [sibling]}),
        ),
        ("roles", json!({"name": inside, "boundAudiences": ["a"], "userClaim": "sub"})),
        (
            "kv",
            json!({"mount": world.kv, "path": "apple", "data": [{"key": "k", "secretKeyRef": {"name": "tfc-token", "key": "token"}}]}),
        ),
        (
            "kv",
            json!({"mount": "secret", "path": "app/x", "data": [{"key": "k", "secretKeyRef": {"name": "tfc-token", "key": "token"}}]}),
        ),
    ];
    let mark = world.lab.vault_server.mark();
    let cases: Vec<_> = hostile.iter().enumerate().map(|(n, case)| (format!("b{n}"), case)).collect();
    let one = async |(name, (list, entry)): &(String, &(&str, Value))| {
        let mut spec = json!({"connectionRef": {"name": world.connection}, "auth": {"mount": world.mount}});
        spec[*list] = json!([entry]);
        world.apply(name, &spec).await;
        let binding = world.wait(name, "judged", |binding| condition(binding, "Accepted").is_some()).await;
        assert_eq!(condition(&binding, "Accepted"), Some(("False".into(), "NotGranted".into())), "{entry}");
    };
    futures::future::join_all(cases.iter().map(one)).await;
    let requests = world.lab.vault_server.requests_since(mark);
    let ours = |path: &str| path.contains(&world.mount) || path.contains(&world.kv) || path.contains(&world.prefix);
    assert!(!requests.iter().any(|request| ours(&request.path) && request.is_write()), "{requests:?}");
}
