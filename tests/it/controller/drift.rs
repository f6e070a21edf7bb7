//! An admin changes by hand what a binding made: each change is found, put right and said, or only said.

use serde_json::{Value, json};

use super::scenario::{Scenario, condition, message};

/// What the admin does, and where; `MOUNT`, `NAME` and `KV` stand for this world's names.
fn spoils() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    const ROLE: &str = "auth/MOUNT/role/NAME";
    const CONFIG: &str = "auth/MOUNT/config";
    let jwt = |field: &str, value: Value| {
        let mut body = json!({"role_type": "jwt"});
        body[field] = value;
        body
    };
    vec![
        ("a leeway is changed", "post", ROLE, jwt("clock_skew_leeway", json!(1))),
        ("a leeway is set to the default", "post", ROLE, jwt("not_before_leeway", json!(0))),
        ("another policy is handed out", "post", ROLE, jwt("token_policies", json!(["intruder"]))),
        ("the audience is widened", "post", ROLE, jwt("bound_audiences", json!(["backstage", "intruder"]))),
        ("the subject is taken away", "post", ROLE, jwt("bound_subject", json!(""))),
        ("a claim is asked for that was not", "post", ROLE, jwt("bound_claims", json!({"groups": ["x"]}))),
        ("claims are compared as globs", "post", ROLE, jwt("bound_claims_type", json!("glob"))),
        ("a groups claim is asked for", "post", ROLE, jwt("groups_claim", json!("groups"))),
        ("a claim is mapped", "post", ROLE, jwt("claim_mappings", json!({"name": "name"}))),
        ("the user claim is changed", "post", ROLE, jwt("user_claim", json!("email"))),
        ("tokens live longer", "post", ROLE, jwt("token_max_ttl", json!("700h"))),
        ("tokens are made periodic", "post", ROLE, jwt("token_period", json!("10h"))),
        ("tokens are made batch tokens", "post", ROLE, jwt("token_type", json!("batch"))),
        ("the number of uses is bounded", "post", ROLE, jwt("token_num_uses", json!(3))),
        ("sources are bounded", "post", ROLE, jwt("token_bound_cidrs", json!(["10.0.0.0/8"]))),
        ("the default policy is left off", "post", ROLE, jwt("token_no_default_policy", json!(true))),
        ("policies are set by their legacy name", "post", ROLE, jwt("policies", json!(["intruder"]))),
        (
            "the role is made an oidc role",
            "post",
            ROLE,
            json!({"role_type": "oidc", "allowed_redirect_uris": ["https://x"]}),
        ),
        ("the role is deleted", "delete", ROLE, Value::Null),
        ("the issuer is changed", "post", CONFIG, json!({"jwks_url": "JWKS", "bound_issuer": "https://intruder"})),
        (
            "algorithms are opened",
            "post",
            CONFIG,
            json!({"jwks_url": "JWKS", "bound_issuer": "ISSUER", "default_role": "NAME"}),
        ),
        (
            "the policy opens more",
            "post",
            "sys/policies/acl/NAME",
            json!({"policy": "path \"*\" { capabilities = [\"read\"] }"}),
        ),
        ("the policy is deleted", "delete", "sys/policies/acl/NAME", Value::Null),
        ("the value is changed", "post", "KV/data/app/tfc-token", json!({"data": {"Badal_devex": "other"}})),
        ("the key is taken out", "post", "KV/data/app/tfc-token", json!({"data": {"theirs": "kept"}})),
        ("the secret is soft-deleted", "delete", "KV/data/app/tfc-token", Value::Null),
        ("the secret is deleted for good", "delete", "KV/metadata/app/tfc-token", Value::Null),
        ("the jwt method is disabled", "delete", "sys/auth/MOUNT", Value::Null),
    ]
}

impl Scenario {
    fn named(&self, text: &str) -> String {
        text.replace("MOUNT", &self.mount)
            .replace("NAME", &self.name("backend"))
            .replace("KV", &self.kv)
            .replace("JWKS", &self.issuer.jwks_url())
            .replace("ISSUER", &self.issuer.url())
    }

    async fn spoil(&self, verb: &str, path: &str, body: &Value) {
        let path = self.named(path);
        let body = serde_json::from_str(&self.named(&body.to_string())).unwrap();
        let (status, answer) = match verb {
            "delete" => self.vault.delete(&path).await,
            _ => self.vault.post(&path, &body).await,
        };
        assert!(status < 300, "{path}: {status} {answer}");
    }

    /// All that the binding keeps, as Vault reads it.
    async fn everything(&self) -> Value {
        let name = self.name("backend");
        let (_, secret) = self.vault.get(&format!("{}/data/app/tfc-token", self.kv)).await;
        json!({
            "config": self.vault.get(&format!("auth/{}/config", self.mount)).await.1["data"],
            "role": self.vault.get(&format!("auth/{}/role/{name}", self.mount)).await.1["data"],
            "policy": self.vault.get(&format!("sys/policies/acl/{name}")).await.1["data"],
            "secret": secret["data"]["data"]["Badal_devex"],
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_by_hand_is_put_right_and_said() {
    let world = Scenario::start().await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    let intended = world.everything().await;
    for (what, verb, path, body) in spoils() {
        // Another pass may come by at any time, so that what is spoilt cannot be looked at; that it was said proves it.
        let told = world.events("backend", "DriftCorrected").await.len();
        world.spoil(verb, path, &body).await;
        let binding = world.nudge("backend").await;
        let now = world.everything().await;
        assert_eq!(now, intended, "{what}: not put right; {:#?}", binding.status);
        assert_eq!(condition(&binding, "Ready"), Some(("True".into(), "Succeeded".into())), "{what}");
        // Events follow the status.
        let said = async || world.events("backend", "DriftCorrected").await.len() > told;
        world.eventually(&format!("{what}: it is said"), said).await;
    }
    let notes = world.events("backend", "DriftCorrected").await.join("\n");
    assert!(notes.contains("clock_skew_leeway: 1 → 60"), "{notes}");
    assert!(!notes.contains("s3cr3t"), "{notes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_drift_report_a_difference_is_named_and_left() {
    let world = Scenario::start().await;
    let mut spec = world.spec();
    spec["drift"] = json!("Report");
    world.apply("backend", &spec).await;
    world.ready("backend").await;
    world.spoil("post", "auth/MOUNT/role/NAME", &json!({"role_type": "jwt", "clock_skew_leeway": 1})).await;
    world.spoil("post", "KV/data/app/tfc-token", &json!({"data": {"Badal_devex": "other"}})).await;
    let binding = world.nudge("backend").await;
    assert_eq!(condition(&binding, "Ready"), Some(("False".into(), "DriftDetected".into())));
    assert_eq!(world.role("backend").await.1["clock_skew_leeway"], 1);
    let drift: Vec<_> =
        binding.status.unwrap().drift.into_iter().map(|d| (d.object, d.field, d.expected, d.found)).collect();
    let name = world.name("backend");
    assert!(
        drift.contains(&(format!("Role {}/{name}", world.mount), "clock_skew_leeway".into(), "60".into(), "1".into())),
        "{drift:?}"
    );
    assert!(
        drift.contains(&(
            format!("Kv {}/app/tfc-token", world.kv),
            "Badal_devex".into(),
            "(sensitive)".into(),
            "(sensitive)".into()
        )),
        "{drift:?}"
    );
    // A changed spec is no drift: it is applied.
    spec["drift"] = json!("Correct");
    world.apply("backend", &spec).await;
    world.ready("backend").await;
    assert_eq!(world.role("backend").await.1["clock_skew_leeway"], 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exists_already_and_differs_is_left_unless_adopted() {
    let world = Scenario::start().await;
    let name = world.name("backend");
    world.vault.enable(&format!("auth/{}", world.mount), "jwt").await;
    let theirs = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["theirs"]});
    world.vault.write(&format!("auth/{}/role/{name}", world.mount), &theirs).await;
    world.vault.write(&format!("sys/policies/acl/{name}"), &json!({"policy": "# theirs"})).await;
    world.vault.write(&format!("{}/data/app/tfc-token", world.kv), &json!({"data": {"Badal_devex": "theirs"}})).await;
    let mut spec = world.spec();
    world.apply("backend", &spec).await;
    let binding = world.not_ready("backend", "Conflict").await;
    let said = message(&binding, "Accepted");
    for object in ["Role", "Policy", "Kv"] {
        assert!(said.contains(object) && said.contains("adoption: Adopt"), "{said}");
    }
    assert_eq!(world.role("backend").await.1["bound_audiences"], json!(["theirs"]));
    // Not owned, so not deleted either.
    world.delete("backend").await;
    assert_eq!(world.role("backend").await.0, 200);

    spec["adoption"] = json!("Adopt");
    world.apply("backend", &spec).await;
    let binding = world.ready("backend").await;
    assert_eq!(world.role("backend").await.1["bound_audiences"], json!(["backstage"]));
    let states: Vec<String> =
        binding.status.unwrap().managed_objects.iter().map(|m| format!("{:?} {:?}", m.kind, m.state)).collect();
    assert!(states.contains(&"Role Adopted".to_owned()) && states.contains(&"Kv Adopted".to_owned()), "{states:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_equals_the_spec_is_taken_over_without_a_question() {
    let world = Scenario::start().await;
    let mut spec = world.spec();
    spec["deletionPolicy"] = json!("Orphan");
    world.apply("backend", &spec).await;
    world.ready("backend").await;
    world.delete("backend").await;
    assert_eq!(world.role("backend").await.0, 200, "orphaned");
    let asked = world.issuer.asked();
    spec["deletionPolicy"] = json!("Delete");
    world.apply("again", &spec).await;
    let binding = world.judged("again").await;
    // What has a marker names the first binding; what has none is equal and taken over.
    assert_eq!(world.issuer.asked(), asked, "the config was written again");
    let kinds: Vec<String> =
        binding.status.unwrap().managed_objects.iter().map(|m| format!("{:?} {:?}", m.kind, m.state)).collect();
    assert!(kinds.contains(&"Role Adopted".to_owned()) && kinds.contains(&"JwtConfig Adopted".to_owned()), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_made_anew_at_the_same_version_is_put_right() {
    let world = Scenario::start().await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    let path = "app/tfc-token";
    let metadata = format!("{}/metadata/{path}", world.kv);
    let marks = world.vault.read(&metadata).await["custom_metadata"].clone();
    for marked in [false, true] {
        world.spoil("delete", "KV/metadata/app/tfc-token", &Value::Null).await;
        world.spoil("post", "KV/data/app/tfc-token", &json!({"data": {"Badal_devex": "other"}})).await;
        if marked {
            world.vault.write(&metadata, &json!({"custom_metadata": marks})).await;
        }
        world.nudge("backend").await;
        let secret = world.vault.read(&format!("{}/data/{path}", world.kv)).await;
        assert_eq!(secret["data"]["Badal_devex"], "s3cr3t-value", "marked: {marked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_of_another_cluster_is_left_also_with_adopt() {
    let world = Scenario::start().await;
    let name = world.name("backend");
    let theirs = "# Managed by vault-jwt-operator for prod/team/other\n# theirs";
    world.vault.write(&format!("sys/policies/acl/{name}"), &json!({"policy": theirs})).await;
    let mut spec = world.spec();
    spec["adoption"] = json!("Adopt");
    world.apply("backend", &spec).await;
    let binding = world.not_ready("backend", "Conflict").await;
    assert!(message(&binding, "Accepted").contains("prod/team/other"), "{:?}", binding.status);
    world.delete("backend").await;
    assert_eq!(world.vault.read(&format!("sys/policies/acl/{name}")).await["policy"], theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_drift_report_a_hand_edit_is_left_while_another_object_waits() {
    let world = Scenario::start().await;
    let mut spec = world.spec();
    spec["drift"] = json!("Report");
    spec["kv"][0]["data"][0]["secretKeyRef"]["name"] = json!("comes-later");
    world.apply("backend", &spec).await;
    world.not_ready("backend", "ReferenceNotFound").await;
    world.spoil("post", "auth/MOUNT/role/NAME", &json!({"role_type": "jwt", "clock_skew_leeway": 1})).await;
    let binding = world.nudge("backend").await;
    assert_eq!(world.role("backend").await.1["clock_skew_leeway"], 1);
    assert_eq!(binding.status.unwrap().drift[0].field, "clock_skew_leeway");
    // What waited is new to Vault, and made.
    world.secret("comes-later", &json!({"token": "s3cr3t-later"})).await;
    let path = format!("{}/data/app/tfc-token", world.kv);
    world.eventually("the secret is made", async || world.vault.get(&path).await.0 == 200).await;
    assert_eq!(world.vault.read(&path).await["data"]["Badal_devex"], "s3cr3t-later");
    world.not_ready("backend", "DriftDetected").await;
    assert_eq!(world.role("backend").await.1["clock_skew_leeway"], 1);
}
