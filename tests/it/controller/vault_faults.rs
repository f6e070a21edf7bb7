//! Vault, or what it depends on, is not well: the status says what it is, and it comes right by itself.

use serde_json::{Value, json};

use super::gate::{Behind, Gate};
use super::scenario::{Scenario, condition, message};
use crate::lab::issuer::Behaviour;
use crate::lab::{VaultServer, unique};

const ALL: &str = r#"path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"] }"#;

impl Scenario {
    /// Goes over to another Vault, where the operator has the root token.
    async fn move_to(&mut self, vault: &VaultServer) -> Value {
        self.vault = vault.api();
        self.vault.write(&format!("sys/mounts/{}", self.kv), &json!({"type": "kv", "options": {"version": "2"}})).await;
        self.secret("vault", &json!({"token": vault.root_token(), "ca.crt": vault.ca().unwrap_or_default()})).await;
        let mut connection = self.connection_spec("");
        connection["address"] = json!(vault.address());
        connection["auth"] =
            json!({"token": {"secretRef": {"namespace": self.namespace, "name": "vault", "key": "token"}}});
        connection
    }

    /// Logs the operator in by an AppRole of its own with this policy; the mount.
    async fn app_role(&self, policy: &str) -> String {
        let (mount, name) = (unique("approle"), self.name("operator"));
        self.vault.enable(&format!("auth/{mount}"), "approle").await;
        self.vault.write(&format!("sys/policies/acl/{name}"), &json!({"policy": policy})).await;
        self.vault.write(&format!("auth/{mount}/role/operator"), &json!({"token_policies": [name]})).await;
        let role_id = self.vault.read(&format!("auth/{mount}/role/operator/role-id")).await["role_id"].clone();
        let (_, secret) = self.vault.post(&format!("auth/{mount}/role/operator/secret-id"), &json!({})).await;
        self.secret("approle", &json!({"id": secret["data"]["secret_id"]})).await;
        let mut connection = self.connection_spec("");
        connection["auth"] = json!({"appRole": {
            "mount": mount, "roleId": role_id,
            "secretIdRef": {"namespace": self.namespace, "name": "approle", "key": "id"},
        }});
        self.connect(&connection).await;
        mount
    }

    fn logins(&self, mark: u64, mount: &str) -> usize {
        let requests = self.lab.vault_server.requests_since(mark);
        requests.iter().filter(|request| request.path == format!("auth/{mount}/login")).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_vault_is_named_and_comes_back_by_itself() {
    let mut world = Scenario::start().await;
    let vault = VaultServer::start(false).await.unwrap();
    let connection = world.move_to(&vault).await;
    world.connect(&connection).await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    assert_eq!(world.vault.post("sys/seal", &json!({})).await.0, 204);
    let binding = world.nudge("backend").await;
    assert_eq!(condition(&binding, "Ready"), Some(("False".into(), "VaultSealed".into())));
    assert_eq!(condition(&binding, "Stalled"), None);
    world
        .wait_connection("the connection says that Vault is sealed", |connection| {
            connection.conditions.iter().any(|c| c.type_ == "Reachable" && c.reason == "VaultSealed")
        })
        .await;
    world.vault.post("sys/unseal", &json!({"key": vault.unseal_key().await.unwrap()})).await;
    world.ready("backend").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_is_away_or_behind_a_portal_is_waited_for() {
    let world = Scenario::start().await;
    let gate = Gate::before(world.lab.vault_server.address()).await;
    let mut connection = world.connection_spec(&world.role);
    connection["address"] = json!(gate.address());
    world.connect(&connection).await;
    world.apply("backend", &world.spec()).await;
    let managed = world.ready("backend").await.status.unwrap().managed_objects;
    let asked = world.issuer.asked();
    for (behind, says) in [(Behind::Nothing, "the connection was closed"), (Behind::Page, "is not one of Vault's API")]
    {
        gate.lead_to(behind);
        let binding = world.nudge("backend").await;
        assert_eq!(condition(&binding, "Ready").unwrap().0, "False");
        assert_eq!(condition(&binding, "Stalled"), None);
        let binding = world.wait("backend", says, |binding| message(binding, "Ready").contains(says)).await;
        assert_eq!(binding.status.unwrap().managed_objects, managed);
        gate.lead_to(Behind::Vault);
        world.ready("backend").await;
    }
    assert_eq!(world.issuer.asked(), asked, "nothing had to be written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_costs_one_login() {
    let world = Scenario::start().await;
    let mount = world.app_role(ALL).await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    let rule = json!({"path": format!("{}/x", world.kv), "capabilities": ["read"]});
    let spec = json!({
        "connectionRef": {"name": world.connection}, "auth": {"mount": world.mount},
        "policies": [{"name": world.name("other"), "rules": [rule]}],
    });
    world.apply("other", &spec).await;
    world.ready("other").await;
    let mark = world.lab.vault_server.mark();
    world.vault.write(&format!("sys/leases/revoke-prefix/auth/{mount}/login"), &json!({})).await;
    let (one, two) = tokio::join!(world.nudge("backend"), world.nudge("other"));
    for binding in [one, two] {
        assert_eq!(condition(&binding, "Ready"), Some(("True".into(), "Succeeded".into())));
    }
    assert_eq!(world.logins(mark, &mount), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_vaults_own_policy_denies_is_said_and_costs_no_storm_of_logins() {
    let world = Scenario::start().await;
    let mount = world.app_role(ALL).await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    let (path, own) = (format!("auth/{}/role/*", world.mount), world.name("operator"));
    let narrow = format!("{ALL}\npath \"{path}\" {{ capabilities = [\"read\"] }}");
    world.vault.write(&format!("sys/policies/acl/{own}"), &json!({"policy": narrow})).await;
    let role = format!("auth/{}/role/{}", world.mount, world.name("backend"));
    world.vault.write(&role, &json!({"role_type": "jwt", "clock_skew_leeway": 1})).await;
    let mark = world.lab.vault_server.mark();
    let binding = world.nudge("backend").await;
    assert_eq!(condition(&binding, "Ready"), Some(("False".into(), "VaultDenied".into())));
    assert_eq!(condition(&binding, "Synced"), Some(("False".into(), "VaultDenied".into())));
    assert_eq!(condition(&binding, "Stalled"), None);
    assert!(message(&binding, "Ready").contains(&role), "{}", message(&binding, "Ready"));
    for _ in 0..3 {
        world.nudge("backend").await;
    }
    assert!(world.logins(mark, &mount) <= 1, "{}", world.logins(mark, &mount));
    world.vault.write(&format!("sys/policies/acl/{own}"), &json!({"policy": ALL})).await;
    world.nudge("backend").await;
    world.ready("backend").await;
    assert_eq!(world.role("backend").await.1["clock_skew_leeway"], 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_away_is_waited_for_and_the_rest_is_made_meanwhile() {
    let world = Scenario::start().await;
    world.issuer.behave(Behaviour::NotFound);
    world.apply("backend", &world.spec()).await;
    let binding = world.not_ready("backend", "IssuerUnreachable").await;
    assert_eq!(condition(&binding, "Stalled"), None);
    assert!(message(&binding, "Ready").contains("JwtConfig"), "{}", message(&binding, "Ready"));
    assert_eq!(world.role("backend").await.0, 200);
    assert_eq!(world.vault.get(&format!("sys/policies/acl/{}", world.name("backend"))).await.0, 200);
    world.issuer.behave(Behaviour::Html);
    world.nudge("backend").await;
    world.not_ready("backend", "IssuerUnreachable").await;
    world.issuer.behave(Behaviour::Keys);
    world.ready("backend").await;
    let config = world.vault.read(&format!("auth/{}/config", world.mount)).await;
    assert_eq!(config["jwks_url"], world.issuer.jwks_url());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_vault_refuses_holds_up_the_role_that_hands_it_out_and_nothing_else() {
    let world = Scenario::start().await;
    world.grant_this(&json!({"rawPolicies": true})).await;
    let mut spec = world.spec();
    spec["policies"][0] = json!({"name": world.name("backend"), "hcl": "path \"x\" {"});
    world.apply("backend", &spec).await;
    let binding = world.not_ready("backend", "VaultRejected").await;
    assert_eq!(condition(&binding, "Stalled"), Some(("True".into(), "VaultRejected".into())));
    let said = message(&binding, "Synced");
    assert!(said.contains("failed to parse policy") && said.contains("waits for policy"), "{said}");
    assert_eq!(world.role("backend").await.0, 404);
    assert_eq!(world.vault.get(&format!("auth/{}/config", world.mount)).await.0, 200);
    assert_eq!(world.vault.get(&format!("{}/data/app/tfc-token", world.kv)).await.0, 200);
    spec["policies"][0]["hcl"] = json!("path \"x\" { capabilities = [\"read\"] }");
    world.apply("backend", &spec).await;
    world.ready("backend").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kv_mount_may_be_missing_be_made_and_change_its_version() {
    let world = Scenario::start().await;
    assert_eq!(world.vault.delete(&format!("sys/mounts/{}", world.kv)).await.0, 204);
    world.apply("backend", &world.spec()).await;
    let binding = world
        .wait("backend", "the KV entry is the trouble", |b| {
            condition(b, "Synced").is_some_and(|(status, _)| status == "False")
        })
        .await;
    let said = message(&binding, "Synced");
    assert!(said.contains("nothing is mounted there") && said.contains(&world.kv), "{said}");
    assert_eq!(condition(&binding, "Stalled"), None);
    assert_eq!(world.role("backend").await.0, 200, "the rest is made");

    for version in ["1", "2", "1"] {
        world
            .vault
            .write(&format!("sys/mounts/{}", world.kv), &json!({"type": "kv", "options": {"version": version}}))
            .await;
        let at = if version == "1" { "app/tfc-token" } else { "data/app/tfc-token" };
        // A mount that was just made is upgraded for a moment.
        world
            .eventually(&format!("version {version} is written"), async || {
                world.nudge("backend").await;
                let (status, body) = world.vault.get(&format!("{}/{at}", world.kv)).await;
                let data = if version == "1" { &body["data"] } else { &body["data"]["data"] };
                status == 200 && data["Badal_devex"] == "s3cr3t-value"
            })
            .await;
        world.ready("backend").await;
        assert_eq!(world.vault.delete(&format!("sys/mounts/{}", world.kv)).await.0, 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kv_mount_that_changed_its_version_is_found_although_the_policy_denies_the_old_paths() {
    let world = Scenario::start().await;
    let (kv, identity) = (&world.kv, unique("v2only"));
    let rule = |path: &str| {
        format!("path \"{path}\" {{ capabilities = [\"create\", \"read\", \"update\", \"patch\", \"delete\"] }}\n")
    };
    let policy = [format!("{kv}/data/*"), format!("{kv}/metadata/*")].map(|path| rule(&path)).concat();
    world
        .vault
        .write(&format!("sys/policies/acl/{identity}"), &json!({"policy": policy + &rule("auth/*") + &rule("sys/*")}))
        .await;
    let (_, issued) = world.vault.post("auth/token/create", &json!({"policies": [identity], "no_parent": true})).await;
    world.secret("operator", &json!({"token": issued["auth"]["client_token"]})).await;
    let mut connection = world.connection_spec("");
    let secret = json!({"namespace": world.namespace, "name": "operator", "key": "token"});
    connection["auth"] = json!({"token": {"secretRef": secret}});
    world.connect(&connection).await;
    world.vault.enable(&format!("auth/{}", world.mount), "jwt").await;
    world.apply("backend", &world.spec()).await;
    world.ready("backend").await;
    for version in ["1", "2"] {
        assert_eq!(world.vault.delete(&format!("sys/mounts/{kv}")).await.0, 204);
        let mount = json!({"type": "kv", "options": {"version": version}});
        world.vault.write(&format!("sys/mounts/{kv}"), &mount).await;
        world
            .eventually(&format!("version {version} is noticed"), async || {
                let binding = world.nudge("backend").await;
                condition(&binding, "Synced").is_some_and(|(status, _)| (status == "True") == (version == "2"))
            })
            .await;
    }
    let secret = world.vault.read(&format!("{kv}/data/app/tfc-token")).await;
    assert_eq!(secret["data"]["Badal_devex"], "s3cr3t-value");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_1_secret_keeps_what_others_have_in_it() {
    let world = Scenario::start().await;
    let kv = format!("{}-v1", world.kv);
    world.vault.write(&format!("sys/mounts/{kv}"), &json!({"type": "kv", "options": {"version": "1"}})).await;
    world.grant_this(&json!({"kv": [{"mount": kv, "paths": ["app/*"]}]})).await;
    world.vault.write(&format!("{kv}/app/tfc-token"), &json!({"theirs": "kept"})).await;
    let mut spec = world.spec();
    spec["kv"][0]["mount"] = json!(kv);
    world.apply("backend", &spec).await;
    world.ready("backend").await;
    let read = async || world.vault.read(&format!("{kv}/app/tfc-token")).await;
    assert_eq!(read().await, json!({"theirs": "kept", "Badal_devex": "s3cr3t-value"}));
    world.secret("tfc-token", &json!({"token": "s3cr3t-2"})).await;
    world.eventually("the new value is there", async || read().await["Badal_devex"] == "s3cr3t-2").await;
    world.vault.write(&format!("{kv}/app/tfc-token"), &json!({"theirs": "changed"})).await;
    world.nudge("backend").await;
    assert_eq!(read().await, json!({"theirs": "changed", "Badal_devex": "s3cr3t-2"}));
    world.delete("backend").await;
    assert_eq!(read().await, json!({"theirs": "changed"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_to_a_mount_of_another_method() {
    let world = Scenario::start().await;
    let role = format!("auth/{}/role/{}", world.mount, world.name("backend"));
    // AppRole has roles at the same place.
    let theirs = async || {
        world.vault.enable(&format!("auth/{}", world.mount), "approle").await;
        world.vault.write(&role, &json!({"token_policies": ["theirs"]})).await;
    };
    let kept = async || world.vault.read(&role).await["token_policies"] == json!(["theirs"]);
    theirs().await;
    world.apply("backend", &world.spec()).await;
    let binding = world.not_ready("backend", "MountTypeMismatch").await;
    assert_eq!(condition(&binding, "Stalled"), Some(("True".into(), "MountTypeMismatch".into())));
    assert!(message(&binding, "Ready").contains("'approle'"), "{}", message(&binding, "Ready"));
    assert!(kept().await);
    // The same when it was a jwt mount before.
    assert_eq!(world.vault.delete(&format!("sys/auth/{}", world.mount)).await.0, 204);
    world
        .eventually("it is made", async || {
            condition(&world.nudge("backend").await, "Ready") == Some(("True".into(), "Succeeded".into()))
        })
        .await;
    assert_eq!(world.vault.delete(&format!("sys/auth/{}", world.mount)).await.0, 204);
    theirs().await;
    world
        .eventually("it is seen", async || {
            condition(&world.nudge("backend").await, "Ready") == Some(("False".into(), "MountTypeMismatch".into()))
        })
        .await;
    assert!(kept().await);
    // Nor is anything deleted there.
    world.delete("backend").await;
    assert!(kept().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_may_not_be_enabled_is_waited_for() {
    let world = Scenario::start().await;
    let mut spec = world.spec();
    spec["auth"]["enable"] = json!(false);
    world.apply("backend", &spec).await;
    let binding = world.not_ready("backend", "MountNotFound").await;
    assert_eq!(condition(&binding, "Stalled"), None);
    let said = message(&binding, "Ready");
    assert!(said.contains("auth.enable"), "{said}");
    assert_eq!(world.vault.get(&format!("sys/policies/acl/{}", world.name("backend"))).await.0, 200);
    world.vault.enable(&format!("auth/{}", world.mount), "jwt").await;
    world.ready("backend").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_ca_is_named_and_a_right_one_is_taken_at_once() {
    let mut world = Scenario::start().await;
    let (vault, other) = tokio::try_join!(VaultServer::start(true), VaultServer::start(true)).unwrap();
    let mut connection = world.move_to(&vault).await;
    world.secret("ca", &json!({"ca.crt": other.ca().unwrap()})).await;
    connection["tls"] =
        json!({"caRef": {"kind": "Secret", "namespace": world.namespace, "name": "ca", "key": "ca.crt"}});
    world.connect(&connection).await;
    world.apply("backend", &world.spec()).await;
    let said = "signed by an unknown CA";
    let binding = world.wait("backend", said, |binding| message(binding, "Ready").contains(said)).await;
    assert_eq!(condition(&binding, "Stalled"), None);
    world.secret("ca", &json!({"ca.crt": vault.ca().unwrap()})).await;
    world.ready("backend").await;
}
