//! Two bindings want the same thing of one Vault: the older has it, the younger says so and gets it when it is free.

use serde_json::{Value, json};
use vault_jwt_operator::api::VaultJwtBinding;
use vault_jwt_operator::api::status::ObjectKind;

use super::scenario::{Scenario, condition, message};

impl Scenario {
    /// The founding case with another subject, rule, value and issuer: whose it is shows in Vault.
    async fn rival(&self) -> Value {
        self.secret("rival", &json!({"token": "s3cr3t-rival"})).await;
        let mut spec = self.spec();
        spec["auth"]["config"]["boundIssuer"] = json!("https://rival");
        spec["roles"][0]["boundSubject"] = json!("rival");
        spec["policies"][0]["rules"][0]["path"] = json!(format!("{}/data/app/rival", self.kv));
        spec["kv"][0]["data"][0]["secretKeyRef"]["name"] = json!("rival");
        spec
    }

    /// Whose config, role, policy and value Vault has.
    async fn owners(&self) -> [&'static str; 4] {
        let whose = |rival: bool, there: bool| match (there, rival) {
            (false, _) => "nobody",
            (true, true) => "rival",
            (true, false) => "first",
        };
        let (status, config) = self.vault.get(&format!("auth/{}/config", self.mount)).await;
        let config = whose(config["data"]["bound_issuer"] == "https://rival", status == 200);
        let (status, role) = self.role("backend").await;
        let role = whose(role["bound_subject"] == "rival", status == 200);
        let (status, policy) = self.vault.get(&format!("sys/policies/acl/{}", self.name("backend"))).await;
        let policy = whose(policy.to_string().contains("app/rival"), status == 200);
        let (status, kv) = self.vault.get(&format!("{}/data/app/tfc-token", self.kv)).await;
        let value = &kv["data"]["data"]["Badal_devex"];
        [config, role, policy, whose(value == "s3cr3t-rival", status == 200 && value.is_string())]
    }
}

const FIRST: [&str; 4] = ["first"; 4];
const RIVAL: [&str; 4] = ["rival"; 4];

#[tokio::test(flavor = "multi_thread")]
async fn the_older_binding_wins_and_the_younger_says_so_and_takes_over_when_it_is_gone() {
    let world = Scenario::start().await;
    world.apply("first", &world.spec()).await;
    world.ready("first").await;
    world.apply("second", &world.rival().await).await;
    let second = world.not_ready("second", "Conflict").await;
    assert_eq!(condition(&second, "Accepted"), Some(("False".into(), "Conflict".into())));
    assert_eq!(condition(&second, "Stalled"), Some(("True".into(), "Conflict".into())));
    let said = message(&second, "Accepted");
    for kind in ["JwtConfig", "Role", "Policy", "Kv", "key 'Badal_devex'", "choose another name"] {
        assert!(said.contains(kind), "{kind}: {said}");
    }
    assert_eq!(world.owners().await, FIRST);

    // Whoever is looked at, nothing moves.
    let mark = world.lab.vault_server.mark();
    let (first, again) = (world.nudge("first").await, world.nudge("second").await);
    assert_eq!(again.status.unwrap().conditions, second.status.unwrap().conditions);
    assert_eq!(condition(&first, "Ready"), Some(("True".into(), "Succeeded".into())));
    let requests = world.lab.vault_server.requests_since(mark);
    let ours = |path: &str| path.contains(&world.mount) || path.contains(&world.kv) || path.contains(&world.prefix);
    assert!(!requests.iter().any(|request| request.is_write() && ours(&request.path)), "{requests:?}");

    world.delete("first").await;
    world.ready("second").await;
    assert_eq!(world.owners().await, RIVAL);
    world.delete("second").await;
    assert_eq!(world.owners().await[1..], ["nobody"; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_binding_drops_the_other_gets_and_keeps() {
    let world = Scenario::start().await;
    let mut spec = world.spec();
    world.apply("first", &spec).await;
    world.ready("first").await;
    world.apply("second", &world.rival().await).await;
    world.not_ready("second", "Conflict").await;
    spec["auth"].as_object_mut().unwrap().remove("config");
    for list in ["roles", "policies", "kv"] {
        spec[list] = json!([]);
    }
    world.apply("first", &spec).await;
    world.ready("second").await;
    let first = world.ready("first").await;
    assert_eq!(world.owners().await, RIVAL);
    assert_eq!(owned(&first), 0, "{:?}", first.status);
    // The former owner's end is nothing to them.
    world.delete("first").await;
    world.nudge("second").await;
    assert_eq!(world.owners().await, RIVAL);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_binding_that_claims_later_gets_it_and_the_younger_lets_go() {
    let world = Scenario::start().await;
    let nothing = json!({"connectionRef": {"name": world.connection}, "auth": {"mount": world.mount, "enable": true}});
    world.apply("first", &nothing).await;
    world.ready("first").await;
    world.apply("second", &world.rival().await).await;
    world.ready("second").await;
    assert_eq!(world.owners().await, RIVAL);

    world.apply("first", &world.spec()).await;
    world.ready("first").await;
    world.not_ready("second", "Conflict").await;
    assert_eq!(world.owners().await, FIRST);
    let events = world.events("second", "Released").await.join("\n");
    assert!(events.contains("Role") && events.contains("another binding"), "{events}");
    // What was let go is not deleted with the loser.
    world.delete("second").await;
    assert_eq!(world.owners().await, FIRST);
    world.delete("first").await;
    assert_eq!(world.owners().await[1..], ["nobody"; 3]);
}

/// How much a binding owns, besides a mount that it enabled.
fn owned(binding: &VaultJwtBinding) -> usize {
    let managed = binding.status.iter().flat_map(|status| &status.managed_objects);
    managed.filter(|managed| managed.kind != ObjectKind::AuthMount).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moves_from_one_binding_to_another_in_one_commit_stays() {
    let world = Scenario::start().await;
    let nothing = json!({"connectionRef": {"name": world.connection}, "auth": {"mount": world.mount, "enable": true}});
    for (from, to) in [("a", "b"), ("b", "a"), ("a", "b"), ("b", "a")] {
        let (full, empty) = (world.spec(), nothing.clone());
        world.apply("a", if from == "a" { &full } else { &empty }).await;
        world.apply("b", if from == "b" { &full } else { &empty }).await;
        world.ready(from).await;
        world.ready(to).await;
        tokio::join!(world.apply(from, &empty), world.apply(to, &full));
        world.ready(from).await;
        world.ready(to).await;
        world.wait(to, "owns all", |binding| owned(binding) == 4).await;
        world.wait(from, "owns nothing", |binding| owned(binding) == 0).await;
        assert_eq!(world.owners().await, FIRST, "from {from} to {to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_to_one_vault_are_one_vault() {
    let world = Scenario::start().await;
    world.apply("first", &world.spec()).await;
    world.ready("first").await;
    let mut other = world.connection_spec(&world.role);
    other["address"] = json!(world.lab.vault_server.address().replace("127.0.0.1", "localhost"));
    let name = format!("{}-other", world.connection);
    world.connect_as(&name, &other).await;
    let mut spec = world.rival().await;
    spec["connectionRef"]["name"] = json!(name);
    world.apply("second", &spec).await;
    world.not_ready("second", "Conflict").await;
    assert_eq!(world.owners().await, FIRST);
    world.nudge("second").await;
    world.delete("first").await;
    world.ready("second").await;
    assert_eq!(world.owners().await, RIVAL);
}

#[tokio::test(flavor = "multi_thread")]
async fn different_keys_of_one_secret_live_together() {
    let world = Scenario::start().await;
    let entry = |key: &str| {
        json!({
            "connectionRef": {"name": world.connection}, "interval": "1h", "auth": {"mount": world.mount, "enable": true},
            "kv": [{"mount": world.kv, "path": "app/shared", "data": [
                {"key": key, "secretKeyRef": {"name": "tfc-token", "key": "token"}},
            ]}],
        })
    };
    let (a, b) = (entry("a"), entry("b"));
    let mut more = Vec::new();
    tokio::join!(world.apply("a", &a), world.apply("b", &b));
    for n in 0..6 {
        let name = format!("more{n}");
        world.apply(&name, &entry(&name)).await;
        more.push(name);
    }
    for name in more.iter().map(String::as_str).chain(["a", "b"]) {
        world.ready(name).await;
    }
    let marks = world.vault.read(&format!("{}/metadata/app/shared", world.kv)).await["custom_metadata"].clone();
    assert_eq!(marks.as_object().map(serde_json::Map::len), Some(8), "{marks}");
    for name in more {
        world.delete(&name).await;
    }
    let path = format!("{}/data/app/shared", world.kv);
    assert_eq!(world.vault.read(&path).await["data"], json!({"a": "s3cr3t-value", "b": "s3cr3t-value"}));
    world.delete("a").await;
    assert_eq!(world.vault.read(&path).await["data"], json!({"b": "s3cr3t-value"}));
    world.delete("b").await;
    assert_eq!(world.vault.get(&format!("{}/metadata/app/shared", world.kv)).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_secret_that_two_claim_in_part_each_deletes_its_own() {
    for version in ["1", "2"] {
        let world = Scenario::start().await;
        let kv = format!("{}-v{version}", world.kv);
        world.vault.write(&format!("sys/mounts/{kv}"), &json!({"type": "kv", "options": {"version": version}})).await;
        let mut connection = world.connection_spec(&world.role);
        connection["grants"][0]["kv"][0]["mount"] = json!(kv);
        world.connect(&connection).await;
        let spec = |ownership: &str, keys: &[&str]| {
            let data: Vec<Value> = keys
                .iter()
                .map(|key| json!({"key": key, "secretKeyRef": {"name": "tfc-token", "key": "token"}}))
                .collect();
            json!({
                "connectionRef": {"name": world.connection}, "interval": "1h",
                "auth": {"mount": world.mount, "enable": true},
                "kv": [{"mount": kv, "path": "app/shared", "ownership": ownership, "data": data}],
            })
        };
        let keys = async || {
            let path = if version == "2" { format!("{kv}/data/app/shared") } else { format!("{kv}/app/shared") };
            let (_, body) = world.vault.get(&path).await;
            let data = if version == "2" { &body["data"]["data"] } else { &body["data"] };
            data.as_object().map(|data| data.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
        };
        // The older takes a key of what the younger made as a whole.
        world.apply("a", &spec("Keys", &["a"])).await;
        world.ready("a").await;
        world.apply("b", &spec("Keys", &["b", "c"])).await;
        world.ready("b").await;
        world.apply("a", &spec("Keys", &["a", "b"])).await;
        world.ready("a").await;
        world.not_ready("b", "Conflict").await;
        assert_eq!(keys().await, ["a", "b", "c"], "version {version}");
        // Given back and taken again.
        world.apply("a", &spec("Keys", &["a"])).await;
        world.ready("a").await;
        world.ready("b").await;
        assert_eq!(keys().await, ["a", "b", "c"], "version {version}");
        world.apply("a", &spec("Keys", &["a", "b"])).await;
        world.ready("a").await;
        world.not_ready("b", "Conflict").await;
        world.delete("b").await;
        assert_eq!(keys().await, ["a", "b"], "version {version}");
        // The older goes, and what the younger waited for is its own.
        world.apply("b", &spec("Secret", &["b"])).await;
        world.not_ready("b", "Conflict").await;
        world.delete("a").await;
        world.ready("b").await;
        assert_eq!(keys().await, ["b"], "version {version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_not_granted_stands_in_nobodys_way() {
    let world = Scenario::start().await;
    let mut spec = world.spec();
    spec["policies"][0]["rules"][0]["path"] = json!("sys/*");
    spec["kv"] = json!([]);
    world.apply("first", &spec).await;
    world.not_ready("first", "NotGranted").await;
    let mut rival = world.rival().await;
    rival["roles"] = json!([]);
    rival["auth"].as_object_mut().unwrap().remove("config");
    world.apply("second", &rival).await;
    world.ready("second").await;
    assert_eq!(world.owners().await[2], "rival");
    // Once it is granted it is the older one's.
    spec["policies"] = world.spec()["policies"].clone();
    world.apply("first", &spec).await;
    world.ready("first").await;
    world.not_ready("second", "Conflict").await;
    assert_eq!(world.owners().await[2], "first");
    // An edit that goes wrong gives nothing away.
    world.grant_this(&json!({"rawPolicies": true})).await;
    spec["policies"][0] = world.broken_policy();
    world.apply("first", &spec).await;
    world.not_ready("first", "Invalid").await;
    world.nudge("second").await;
    assert_eq!(world.owners().await[2], "first");
}

#[tokio::test(flavor = "multi_thread")]
async fn bindings_that_enable_one_mount_at_once_are_all_ready() {
    let world = Scenario::start().await;
    let spec = json!({"connectionRef": {"name": world.connection}, "auth": {"mount": world.mount, "enable": true}});
    let names: Vec<String> = (0..8).map(|n| format!("b{n}")).collect();
    futures::future::join_all(names.iter().map(|name| world.apply(name, &spec))).await;
    for name in &names {
        world.ready(name).await;
        let mut told = world.events(name, "NotReady").await;
        // Connection and bindings were applied at once, and may be seen in any order.
        told.retain(|note| !note.starts_with("ConnectionNotFound"));
        assert_eq!(told, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_claimant_opens_nothing_that_is_nobodys() {
    let world = Scenario::start().await;
    let name = world.name("backend");
    world.vault.enable(&format!("auth/{}", world.mount), "jwt").await;
    let theirs = json!({"role_type": "jwt", "user_claim": "sub", "bound_subject": "by hand", "bound_audiences": ["x"]});
    world.vault.write(&format!("auth/{}/role/{name}", world.mount), &theirs).await;
    world.vault.write(&format!("sys/policies/acl/{name}"), &json!({"policy": "# by hand"})).await;
    world.vault.write(&format!("{}/data/app/tfc-token", world.kv), &json!({"data": {"Badal_devex": "by hand"}})).await;
    world.apply("first", &world.spec()).await;
    world.not_ready("first", "Conflict").await;
    world.apply("second", &world.rival().await).await;
    world.not_ready("second", "Conflict").await;
    for _ in 0..2 {
        world.nudge("first").await;
        world.nudge("second").await;
    }
    world.delete("first").await;
    world.not_ready("second", "Conflict").await;
    world.delete("second").await;
    assert_eq!(world.role("backend").await.1["bound_subject"], "by hand");
    assert_eq!(world.vault.read(&format!("sys/policies/acl/{name}")).await["policy"], "# by hand");
    let secret = world.vault.read(&format!("{}/data/app/tfc-token", world.kv)).await;
    assert_eq!(secret["data"], json!({"Badal_devex": "by hand"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_that_are_not_lost_are_kept_right() {
    let world = Scenario::start().await;
    let spec = |keys: &[&str]| {
        let data: Vec<Value> =
            keys.iter().map(|key| json!({"key": key, "secretKeyRef": {"name": "tfc-token", "key": "token"}})).collect();
        json!({
            "connectionRef": {"name": world.connection}, "interval": "1h", "auth": {"mount": world.mount, "enable": true},
            "kv": [{"mount": world.kv, "path": "app/shared", "data": data}],
        })
    };
    world.apply("first", &spec(&["a"])).await;
    world.ready("first").await;
    world.apply("second", &spec(&["a", "b"])).await;
    let second = world.not_ready("second", "Conflict").await;
    assert!(message(&second, "Accepted").contains("key 'a'"), "{:?}", second.status);
    let path = format!("{}/data/app/shared", world.kv);
    assert_eq!(world.vault.read(&path).await["data"], json!({"a": "s3cr3t-value", "b": "s3cr3t-value"}));
    world.vault.write(&path, &json!({"data": {"a": "s3cr3t-value"}})).await;
    world.nudge("second").await;
    assert_eq!(world.vault.read(&path).await["data"], json!({"a": "s3cr3t-value", "b": "s3cr3t-value"}));
    world.delete("second").await;
    assert_eq!(world.vault.read(&path).await["data"], json!({"a": "s3cr3t-value"}));
}
