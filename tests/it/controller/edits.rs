//! A spec is edited: what it no longer says goes, what somebody else has there stays, and nothing happens while it is
//! suspended.

use serde_json::{Value, json};

use super::scenario::{Scenario, condition, message};

impl Scenario {
    async fn there(&self, path: &str) -> bool {
        self.vault.get(path).await.0 == 200
    }

    async fn keys_at(&self, path: &str) -> Vec<String> {
        let (_, body) = self.vault.get(&format!("{}/data/{path}", self.kv)).await;
        body["data"]["data"].as_object().map(|data| data.keys().cloned().collect()).unwrap_or_default()
    }

    /// Only a KV entry `app/shared`.
    fn shared(&self, ownership: &str, keys: &[&str]) -> Value {
        let data: Vec<Value> =
            keys.iter().map(|key| json!({"key": key, "secretKeyRef": {"name": "tfc-token", "key": "token"}})).collect();
        json!({
            "connectionRef": {"name": self.connection}, "interval": "1h", "auth": {"mount": self.mount, "enable": true},
            "kv": [{"mount": self.kv, "path": "app/shared", "ownership": ownership, "data": data}],
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_renamed_or_taken_out_is_cleaned_up() {
    let world = Scenario::start().await;
    let mut spec = world.spec();
    world.apply("backend", &spec).await;
    world.ready("backend").await;
    let (old, new) = (world.name("backend"), world.name("renamed"));
    spec["roles"][0]["name"] = json!(new);
    spec["roles"][0]["tokenPolicies"] = json!([new]);
    spec["policies"][0]["name"] = json!(new);
    spec["kv"][0]["path"] = json!("app/moved/deeper");
    spec["auth"]["config"]["defaultRole"] = json!(new);
    world.apply("backend", &spec).await;
    let binding = world.ready("backend").await;
    for (kind, old, new) in [
        ("role", format!("auth/{}/role/{old}", world.mount), format!("auth/{}/role/{new}", world.mount)),
        ("policy", format!("sys/policies/acl/{old}"), format!("sys/policies/acl/{new}")),
        ("kv", format!("{}/metadata/app/tfc-token", world.kv), format!("{}/data/app/moved/deeper", world.kv)),
    ] {
        assert!(!world.there(&old).await, "the old {kind} is left");
        assert!(world.there(&new).await, "the new {kind} is not there");
    }
    let managed = binding.status.unwrap().managed_objects;
    assert!(managed.len() == 5 && !managed.iter().any(|managed| managed.path.ends_with(&old)), "{managed:?}");

    for list in ["roles", "policies", "kv"] {
        spec[list] = json!([]);
    }
    spec["auth"].as_object_mut().unwrap().remove("config");
    world.apply("backend", &spec).await;
    world.ready("backend").await;
    assert_eq!(world.vault.get(&format!("auth/{}/role/{new}", world.mount)).await.0, 404);
    assert_eq!(world.vault.get(&format!("sys/policies/acl/{new}")).await.0, 404);
    assert_eq!(world.vault.get(&format!("{}/metadata/app/moved/deeper", world.kv)).await.0, 404);
    let released = world.events_soon("backend", "Released").await.join("\n");
    assert!(released.contains("JwtConfig") && released.contains("cannot delete"), "{released}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_taken_out_go_and_those_of_others_stay() {
    let world = Scenario::start().await;
    let at = format!("{}/data/app/shared", world.kv);
    world.vault.write(&at, &json!({"data": {"theirs": "kept", "number": 1}})).await;
    world.apply("backend", &world.shared("Keys", &["a", "b"])).await;
    world.ready("backend").await;
    assert_eq!(world.keys_at("app/shared").await, ["a", "b", "number", "theirs"]);
    world.apply("backend", &world.shared("Keys", &["b", "c"])).await;
    world.ready("backend").await;
    assert_eq!(world.keys_at("app/shared").await, ["b", "c", "number", "theirs"]);
    assert_eq!(world.vault.read(&at).await["data"]["number"], 1);
    let marks = world.vault.read(&format!("{}/metadata/app/shared", world.kv)).await["custom_metadata"].clone();
    let marks: Vec<&String> = marks.as_object().unwrap().keys().collect();
    assert_eq!(marks, ["vault-jwt-operator/b", "vault-jwt-operator/c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ownership_changes_between_keys_and_the_whole_secret() {
    let world = Scenario::start().await;
    world.apply("backend", &world.shared("Keys", &["a", "b"])).await;
    world.ready("backend").await;
    // All that is there is its own already; one key goes, and another value comes at the same time.
    world.secret("tfc-token", &json!({"token": "s3cr3t-2"})).await;
    world.apply("backend", &world.shared("Secret", &["a", "c"])).await;
    world.ready("backend").await;
    assert_eq!(world.keys_at("app/shared").await, ["a", "c"]);
    assert_eq!(world.vault.read(&format!("{}/data/app/shared", world.kv)).await["data"]["a"], "s3cr3t-2");
    // A secret that is owned as a whole is kept free of other keys.
    let more = json!({"data": {"a": "s3cr3t-2", "c": "s3cr3t-2", "more": "x"}});
    world.vault.write(&format!("{}/data/app/shared", world.kv), &more).await;
    world.nudge("backend").await;
    assert_eq!(world.keys_at("app/shared").await, ["a", "c"]);
    // Back to keys: what it made as a whole and no longer names goes.
    world.apply("backend", &world.shared("Keys", &["c", "d"])).await;
    world.ready("backend").await;
    assert_eq!(world.keys_at("app/shared").await, ["c", "d"]);
    let marks = world.vault.read(&format!("{}/metadata/app/shared", world.kv)).await["custom_metadata"].clone();
    let marks: Vec<&String> = marks.as_object().unwrap().keys().collect();
    assert_eq!(marks, ["vault-jwt-operator/c", "vault-jwt-operator/d"]);
    world.delete("backend").await;
    assert_eq!(world.vault.get(&format!("{}/metadata/app/shared", world.kv)).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_secret_with_keys_of_others_is_not_taken_without_a_word() {
    let world = Scenario::start().await;
    world.vault.write(&format!("{}/data/app/shared", world.kv), &json!({"data": {"theirs": "kept"}})).await;
    world.apply("backend", &world.shared("Keys", &["a"])).await;
    world.ready("backend").await;
    world.apply("backend", &world.shared("Secret", &["a"])).await;
    let binding = world.not_ready("backend", "Conflict").await;
    assert!(message(&binding, "Ready").contains("adoption: Adopt"), "{}", message(&binding, "Ready"));
    assert_eq!(world.keys_at("app/shared").await, ["a", "theirs"]);
    world.delete("backend").await;
    assert_eq!(world.keys_at("app/shared").await, ["theirs"], "what it made before is still its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_happens_while_it_is_suspended_but_deletion_does() {
    let world = Scenario::start().await;
    let mut spec = world.spec();
    world.apply("backend", &spec).await;
    world.ready("backend").await;
    spec["suspend"] = json!(true);
    spec["roles"][0]["boundSubject"] = json!("another");
    spec["policies"] = json!([]);
    world.apply("backend", &spec).await;
    let binding = world.not_ready("backend", "Suspended").await;
    assert_eq!((condition(&binding, "Stalled"), condition(&binding, "Reconciling")), (None, None));
    let mark = world.lab.vault_server.mark();
    world.secret("tfc-token", &json!({"token": "s3cr3t-new"})).await;
    spec["interval"] = json!("2h");
    world.apply("backend", &spec).await;
    world.judged("backend").await;
    assert_eq!(world.role("backend").await.1["bound_subject"], "backstage-backend");
    let requests = world.lab.vault_server.requests_since(mark);
    let ours = |path: &str| path.contains(&world.mount) || path.contains(&world.kv) || path.contains(&world.prefix);
    // The test's own look at the role.
    assert_eq!(requests.iter().filter(|request| ours(&request.path)).count(), 1, "{requests:?}");

    spec["suspend"] = json!(false);
    world.apply("backend", &spec).await;
    world.ready("backend").await;
    assert_eq!(world.role("backend").await.1["bound_subject"], "another");
    assert_eq!(world.vault.get(&format!("sys/policies/acl/{}", world.name("backend"))).await.0, 404);
    let secret = world.vault.read(&format!("{}/data/app/tfc-token", world.kv)).await;
    assert_eq!(secret["data"]["Badal_devex"], "s3cr3t-new");

    spec["suspend"] = json!(true);
    world.apply("backend", &spec).await;
    world.not_ready("backend", "Suspended").await;
    world.delete("backend").await;
    assert_eq!(world.role("backend").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_suspended_from_the_start_goes_without_a_trace() {
    let world = Scenario::start().await;
    let mut spec = world.spec();
    spec["suspend"] = json!(true);
    world.apply("backend", &spec).await;
    world.not_ready("backend", "Suspended").await;
    world.delete("backend").await;
    assert_eq!(world.vault.get(&format!("auth/{}/config", world.mount)).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_role_hands_out_a_policy_of_its_binding_that_was_refused() {
    let world = Scenario::start().await;
    let mut spec = world.spec();
    spec["policies"][0]["rules"][0]["path"] = json!("sys/*");
    world.apply("backend", &spec).await;
    let binding = world.not_ready("backend", "NotGranted").await;
    assert!(message(&binding, "Synced").contains("waits for policy"), "{:?}", binding.status);
    assert_eq!(world.role("backend").await.0, 404);
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    assert_eq!(world.role("backend").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_somebody_wrote_into_the_status_deletes_no_role_elsewhere() {
    use kube::api::{Patch, PatchParams};
    let world = Scenario::start().await;
    let (mine, other) = (world.spec(), format!("{}-other", world.mount));
    world.vault.enable(&format!("auth/{other}"), "jwt").await;
    let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["x"]});
    world.vault.write(&format!("auth/{other}/role/theirs"), &role).await;
    world.apply("backend", &mine).await;
    let binding = world.ready("backend").await;
    let mut managed = serde_json::to_value(binding.status.unwrap().managed_objects).unwrap();
    let forged = json!({"kind": "Role", "path": format!("{other}/theirs"), "state": "Created"});
    managed.as_array_mut().unwrap().push(forged);
    let patch = json!({"status": {"managedObjects": managed}});
    world.bindings().patch_status("backend", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    world.nudge("backend").await;
    world.delete("backend").await;
    assert_eq!(world.vault.get(&format!("auth/{other}/role/theirs")).await.0, 200);
    assert_eq!(world.role("backend").await.0, 404);
}
