//! The ways to log in to Vault: each works from start to end, with one login, and leaves no token when its connection
//! goes.

use kube::api::{Api, DeleteParams};
use serde_json::{Value, json};
use vault_jwt_operator::api::VaultConnection;

use super::scenario::{Scenario, condition, message};
use crate::lab::control_plane::trusting;
use crate::lab::{KUBERNETES_AUTH, unique};

const ALL: &str = r#"path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"] }"#;

impl Scenario {
    async fn connect_by(&self, auth: Value) {
        let mut connection = self.connection_spec("");
        connection["auth"] = auth;
        self.connect(&connection).await;
    }

    /// Whose account the operator's is: namespace and name.
    async fn operator_account(&self) -> (String, String) {
        let role = self.vault.read(&format!("auth/{KUBERNETES_AUTH}/role/{}", self.role)).await;
        let one = |field: &str| role[field][0].as_str().unwrap().to_owned();
        (one("bound_service_account_namespaces"), one("bound_service_account_names"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_jwt_with_a_token_for_its_own_audience() {
    let world = Scenario::start().await;
    let (namespace, name) = world.operator_account().await;
    // Service accounts may read the keys of the apiserver, Vault itself may not.
    let plane = &world.lab.control_plane;
    let token = world.lab.token_of(&namespace, &name, None).await.unwrap();
    let ask = trusting(plane.ca().as_bytes()).unwrap().get(format!("{}/openid/v1/jwks", plane.url()));
    let keys = ask.bearer_auth(token).send().await.unwrap().text().await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let jwks = format!("http://{}/", listener.local_addr().unwrap());
    let served = axum::Router::new().fallback(move || std::future::ready(keys.clone()));
    let server = tokio::spawn(async { axum::serve(listener, served).await.unwrap() });

    let (mount, policy) = (unique("cluster"), world.name("operator"));
    world.vault.enable(&format!("auth/{mount}"), "jwt").await;
    world.vault.write(&format!("auth/{mount}/config"), &json!({"jwks_url": jwks})).await;
    world.vault.write(&format!("sys/policies/acl/{policy}"), &json!({"policy": ALL})).await;
    let role = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault-ops"], "token_policies": [policy],
        "bound_subject": format!("system:serviceaccount:{namespace}:{name}"),
    });
    world.vault.write(&format!("auth/{mount}/role/operator"), &role).await;
    world.connect_by(json!({"jwt": {"mount": mount, "role": "operator", "audience": "another"}})).await;
    world.apply("backend", &world.spec()).await;
    let binding = world.wait("backend", "the login is refused", |b| message(b, "Ready").contains("audience")).await;
    assert_eq!(condition(&binding, "Stalled"), None);
    world.connect_by(json!({"jwt": {"mount": mount, "role": "operator", "audience": "vault-ops"}})).await;
    world.ready("backend").await;
    let login = format!("auth/{mount}/login");
    assert_eq!(world.lab.vault_server.tokens_of(&login).await, 1);
    let connections = Api::<VaultConnection>::all(world.kube.clone());
    connections.delete(&world.connection, &DeleteParams::default()).await.unwrap();
    world.eventually("its token is revoked", async || world.lab.vault_server.tokens_of(&login).await == 0).await;
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_token_that_is_given_and_followed_and_never_revoked() {
    let world = Scenario::start().await;
    let policy = world.name("operator");
    world.vault.write(&format!("sys/policies/acl/{policy}"), &json!({"policy": ALL})).await;
    let token = async || {
        let (_, made) = world.vault.post("auth/token/create", &json!({"policies": [policy]})).await;
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    };
    let lives = async |token: &str| {
        let own = world.lab.vault_server.as_token(token);
        own.get("auth/token/lookup-self").await.0 == 200
    };
    let by = json!({"token": {"secretRef": {"namespace": world.namespace, "name": "vault", "key": "token"}}});
    world.connect_by(by).await;
    world.apply("backend", &world.spec()).await;
    let missing = "Secret";
    let binding = world.not_ready("backend", "ConnectionNotReady").await;
    assert!(message(&binding, "Ready").contains(missing), "{}", message(&binding, "Ready"));
    // A final newline is an editor's doing.
    let first = token().await;
    world.secret("vault", &json!({"token": format!("{first}\n")})).await;
    world.ready("backend").await;
    // Rotated: the new one is taken, and the old one is its giver's to revoke.
    let second = token().await;
    world.secret("vault", &json!({"token": second})).await;
    world.vault.write("auth/token/revoke", &json!({"token": first})).await;
    world
        .eventually("the new token is used", async || {
            condition(&world.nudge("backend").await, "Ready") == Some(("True".into(), "Succeeded".into()))
        })
        .await;
    let connections = Api::<VaultConnection>::all(world.kube.clone());
    connections.delete(&world.connection, &DeleteParams::default()).await.unwrap();
    world.not_ready("backend", "ConnectionNotFound").await;
    assert!(lives(&second).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_an_account_of_the_bindings_namespace_so_that_vaults_policies_decide_too() {
    let world = Scenario::start().await;
    let (account, policy) = ("vault-binder", world.name("binder"));
    let role = json!({
        "bound_service_account_names": [account], "bound_service_account_namespaces": [world.namespace],
        "token_policies": [policy],
    });
    let narrow = format!("{ALL}\npath \"{}/*\" {{ capabilities = [\"deny\"] }}", world.kv);
    world.vault.write(&format!("sys/policies/acl/{policy}"), &json!({"policy": narrow})).await;
    world.vault.write(&format!("auth/{KUBERNETES_AUTH}/role/{policy}"), &role).await;
    world
        .connect_by(json!({"kubernetes": {"mount": KUBERNETES_AUTH, "role": policy, "bindingServiceAccount": account}}))
        .await;
    world.apply("backend", &world.spec()).await;
    let binding = world.not_ready("backend", "LoginRefused").await;
    let said = message(&binding, "Ready");
    assert!(said.contains(&format!("{}/{account}", world.namespace)), "{said}");
    world.lab.service_account(&world.namespace, account, &[&policy]).await.unwrap();
    world
        .eventually("the account is used", async || {
            condition(&world.nudge("backend").await, "Ready") == Some(("False".into(), "VaultDenied".into()))
        })
        .await;
    assert_eq!(world.role("backend").await.0, 200);
    assert_eq!(world.vault.get(&format!("{}/data/app/tfc-token", world.kv)).await.0, 404);
}
