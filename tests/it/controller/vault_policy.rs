//! `docs/vault-policy.hcl`: the life of a binding needs no more than it allows, and uses all of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::scenario::Scenario;
use crate::lab::unique;

const POLICY: &str = include_str!("../../../docs/vault-policy.hcl");

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_in_the_docs_is_enough_and_nothing_in_it_is_idle() {
    let world = Scenario::start().await;
    let policy = in_the_names_of(&world);
    let identity = unique("docs");
    world.vault.write(&format!("sys/policies/acl/{identity}"), &json!({"policy": policy})).await;
    let request = json!({"policies": [identity], "display_name": identity, "no_parent": true});
    let (status, issued) = world.vault.post("auth/token/create", &request).await;
    assert_eq!(status, 200, "{issued}");
    world.secret("operator", &json!({"token": issued["auth"]["client_token"]})).await;
    let mut connection = world.connection_spec("");
    let secret = json!({"namespace": world.namespace, "name": "operator", "key": "token"});
    connection["auth"] = json!({"token": {"secretRef": secret}});
    world.connect(&connection).await;
    let mark = world.lab.vault_server.mark();

    live(&world).await;

    let mut used = BTreeSet::from([("sudo".to_owned(), format!("sys/auth/{}", world.mount))]);
    let rules = rules(&policy);
    for request in world.lab.vault_server.requests_since(mark) {
        let own = ["auth/token/", "sys/internal/ui/mounts/"].iter().any(|open| request.path.starts_with(open));
        if request.display_name != format!("token-{identity}") || own {
            continue;
        }
        assert_eq!(request.error, "", "{request:?}");
        used.insert((request.operation.clone(), rule_of(&rules, &request.path)));
    }
    assert_eq!(used, rules);
}

/// A binding is made, spoilt by hand and put right, and deleted.
async fn live(world: &Scenario) {
    let mut spec = world.spec();
    let second = json!({"name": world.name("second"), "rules": spec["policies"][0]["rules"]});
    spec["policies"].as_array_mut().unwrap().push(second);
    world.apply("backend", &spec).await;
    world.ready("backend").await;

    let role = format!("auth/{}/role/{}", world.mount, world.name("backend"));
    let secret = format!("{}/data/app/tfc-token", world.kv);
    world.vault.write(&role, &json!({"role_type": "jwt", "clock_skew_leeway": 300})).await;
    world.vault.write(&secret, &json!({"data": {"Badal_devex": "spoilt", "theirs": "kept"}})).await;
    let unmarked = json!({"custom_metadata": {}});
    world.vault.write(&format!("{}/metadata/app/tfc-token", world.kv), &unmarked).await;
    world.nudge("backend").await;
    assert_eq!(world.vault.read(&role).await["clock_skew_leeway"], 60);
    let values = json!({"Badal_devex": "s3cr3t-value", "theirs": "kept"});
    assert_eq!(world.vault.read(&secret).await["data"], values);

    world.vault.write(&secret, &json!({"data": {"Badal_devex": "s3cr3t-value"}})).await;
    world.delete("backend").await;
    for path in [role, secret, format!("sys/policies/acl/{}", world.name("second"))] {
        assert_eq!(world.vault.get(&path).await.0, 404, "{path}");
    }
}

/// The policy with the mounts and names of this world in place of the samples'.
fn in_the_names_of(world: &Scenario) -> String {
    let names = [
        ("sys/auth/jwt\"", format!("sys/auth/{}\"", world.mount)),
        ("\"auth/jwt/", format!("\"auth/{}/", world.mount)),
        ("backstage/backend/", format!("{}/", world.kv)),
        ("terraform-state-plugin/", "app/".to_owned()),
        ("backstage-*", world.name("*")),
        ("backend-service", world.name("backend")),
    ];
    let code = POLICY.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    names.iter().fold(code, |text, (from, to)| {
        assert!(text.contains(from), "{from} is in the policy");
        text.replace(from, to)
    })
}

/// Each capability with its path.
fn rules(policy: &str) -> BTreeSet<(String, String)> {
    let mut path = "";
    let mut rules = BTreeSet::new();
    for line in policy.lines() {
        if let Some(rest) = line.strip_prefix("path \"") {
            path = rest.split('"').next().unwrap();
        } else if let Some(list) = line.trim().strip_prefix("capabilities = ") {
            let list: Value = serde_json::from_str(list).unwrap();
            let names = list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
            rules.extend(names.map(|name| (name, path.to_owned())));
        }
    }
    rules
}

/// The path of the rule that Vault goes by: the same path, or else the longest prefix.
fn rule_of(rules: &BTreeSet<(String, String)>, path: &str) -> String {
    let covers = |rule: &str| rule == path || rule.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix));
    let rule = rules.iter().map(|(_, rule)| rule).filter(|rule| covers(rule));
    rule.max_by_key(|rule| (*rule == path, rule.len())).unwrap_or_else(|| panic!("no rule for {path}")).clone()
}
