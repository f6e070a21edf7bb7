//! One token for all callers of an identity: got when needed, renewed, made anew once, and revoked at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, join_all};
use secrecy::SecretString;
use serde_json::{Value, json};
use vault_jwt_operator::api::names::MountPath;
use vault_jwt_operator::vault::{Credentials, JwtSource, Server, ServerSettings, Vault, VaultError};

use super::{error, jwt_mount, mount, policy, root, server, settings, shared, with_token};
use crate::lab::{Issuer, eventually, unique};

const PATIENCE: Duration = Duration::from_secs(30);

/// An AppRole of its own on the shared Vault, so that its logins and tokens can be told from those of other tests.
struct Account {
    mount: MountPath,
    role_id: String,
    secret_id: String,
    mark: u64,
}

impl Account {
    async fn new(role: &Value) -> Self {
        let (vault, mount) = (shared().await, mount(&unique("approle")));
        let api = vault.api();
        api.enable(&format!("auth/{mount}"), "approle").await;
        api.write(&format!("auth/{mount}/role/r"), role).await;
        let role_id = api.read(&format!("auth/{mount}/role/r/role-id")).await["role_id"].as_str().unwrap().to_owned();
        let (_, secret) = api.post(&format!("auth/{mount}/role/r/secret-id"), &json!({})).await;
        let secret_id = secret["data"]["secret_id"].as_str().unwrap().to_owned();
        Self { mount, role_id, secret_id, mark: vault.mark() }
    }

    async fn vault(&self) -> Vault {
        let secret_id = self.secret_id.as_str().into();
        let credentials = Credentials::AppRole { mount: self.mount.clone(), role_id: self.role_id.clone(), secret_id };
        Vault::new(server(shared().await.address()), credentials)
    }

    async fn logins(&self) -> usize {
        let login = format!("auth/{}/login", self.mount);
        shared().await.requests_since(self.mark).iter().filter(|request| request.path == login).count()
    }

    /// How many tokens of this account live, asked of Vault.
    async fn tokens(&self) -> usize {
        let api = shared().await.api();
        let (_, list) = api.list("auth/token/accessors").await;
        let mut count = 0;
        for accessor in list["data"]["keys"].as_array().unwrap() {
            let (_, token) = api.post("auth/token/lookup-accessor", &json!({"accessor": accessor})).await;
            count += usize::from(token["data"]["path"] == format!("auth/{}/login", self.mount));
        }
        count
    }

    async fn revoke_all(&self) {
        let path = format!("sys/leases/revoke-prefix/auth/{}/login", self.mount);
        shared().await.api().write(&path, &json!({"sync": true})).await;
    }

    /// Gives its role the policies that allow reading a policy.
    async fn allow(&self) {
        let reader = policy_reader().await;
        shared().await.api().write(&format!("auth/{}/role/r", self.mount), &json!({"token_policies": [reader]})).await;
    }
}

async fn policy_reader() -> String {
    let name = unique("reader");
    let text = "path \"sys/policies/acl/*\" { capabilities = [\"read\"] }";
    shared().await.api().write(&format!("sys/policies/acl/{name}"), &json!({"policy": text})).await;
    name
}

/// An account that may read policies.
async fn reader(ttl: &str, max_ttl: &str) -> Account {
    let role = json!({"token_ttl": ttl, "token_max_ttl": max_ttl, "token_policies": [policy_reader().await]});
    Account::new(&role).await
}

async fn look(vault: &Vault) -> Result<Option<String>, VaultError> {
    vault.read_policy(&policy("nobody-has-this")).await
}

#[tokio::test]
async fn many_callers_share_one_login_and_the_token_is_revoked_at_the_end() {
    let account = reader("1h", "1h").await;
    let vault = account.vault().await;
    assert_eq!(vault.renew_at(), None, "nothing is sent before it is needed");
    for outcome in join_all((0..30).map(|_| look(&vault))).await {
        assert_eq!(outcome.unwrap(), None);
    }
    vault.authenticate().await.unwrap();
    assert_eq!((account.logins().await, account.tokens().await), (1, 1));
    let wait = vault.renew_at().expect("a token that ends") - Instant::now();
    assert!((Duration::from_secs(2300)..=Duration::from_secs(2400)).contains(&wait), "two thirds of an hour: {wait:?}");
    vault.close().await;
    assert_eq!(account.tokens().await, 0);
    let sent = vault.server().requests_sent();
    assert_eq!(error(look(&vault).await), VaultError::Closed);
    assert_eq!(error(vault.authenticate().await), VaultError::Closed);
    vault.close().await;
    assert_eq!((vault.server().requests_sent(), account.logins().await), (sent, 1), "nothing is sent after the end");
}

#[tokio::test]
async fn a_token_past_two_thirds_of_its_life_is_renewed_and_not_replaced() {
    let account = reader("3s", "1h").await;
    let vault = account.vault().await;
    vault.authenticate().await.unwrap();
    let first = vault.renew_at().unwrap();
    vault.authenticate().await.unwrap();
    assert_eq!(vault.renew_at(), Some(first), "before that, nothing is asked");
    let renewed = async || {
        look(&vault).await.expect("the token is good all the time");
        vault.renew_at().filter(|at| *at > first + Duration::from_secs(2))
    };
    eventually(PATIENCE, "the token is renewed", renewed).await.unwrap();
    assert_eq!((account.logins().await, account.tokens().await), (1, 1));
    vault.close().await;
    assert_eq!(account.tokens().await, 0);
}

#[tokio::test]
async fn a_token_near_its_maximum_is_replaced_and_the_old_one_revoked() {
    let account = reader("3s", "4s").await;
    let vault = account.vault().await;
    let replaced = async || {
        look(&vault).await.expect("there is a good token all the time");
        (account.logins().await == 2).then_some(())
    };
    eventually(PATIENCE, "a second login", replaced).await.unwrap();
    vault.close().await;
    assert_eq!(account.tokens().await, 0);
}

#[tokio::test]
async fn a_revoked_token_costs_one_new_login_and_no_failure() {
    let account = reader("1h", "1h").await;
    let vault = account.vault().await;
    for logins in 1..=3 {
        for outcome in join_all((0..10).map(|_| look(&vault))).await {
            outcome.unwrap();
        }
        assert_eq!((account.logins().await, account.tokens().await), (logins, 1));
        account.revoke_all().await;
    }
    vault.close().await;
}

#[tokio::test]
async fn a_denial_that_a_new_login_does_not_cure_stands_for_a_while() {
    let account = Account::new(&json!({"token_ttl": "1h"})).await;
    let vault = account.vault().await;
    for _ in 0..3 {
        for outcome in join_all((0..10).map(|_| look(&vault))).await {
            let denied = error(outcome);
            assert!(matches!(denied, VaultError::Denied { detail: None, .. }), "{denied:?}");
        }
    }
    assert_eq!((account.logins().await, account.tokens().await), (2, 1), "one try more, and the old token is gone");
    account.revoke_all().await;
    assert!(matches!(error(look(&vault).await), VaultError::Denied { detail: None, .. }));
    assert_eq!(account.logins().await, 3, "a token that has ended is replaced all the same");
    vault.close().await;
    assert_eq!(account.tokens().await, 0);
}

#[tokio::test]
async fn a_new_policy_of_the_role_takes_effect_without_a_restart() {
    let account = Account::new(&json!({"token_ttl": "1h"})).await;
    let vault = account.vault().await;
    vault.authenticate().await.unwrap();
    account.allow().await;
    look(&vault).await.expect("the new login has the policy");
    assert_eq!((account.logins().await, account.tokens().await), (2, 1));
    vault.close().await;
}

#[tokio::test]
async fn a_caller_who_gives_up_leaves_no_token_behind() {
    let account = reader("1h", "1h").await;
    let vault = account.vault().await;
    for _ in 0..5 {
        // Long enough for the login to be on its way.
        let _ = tokio::time::timeout(Duration::from_millis(1), vault.authenticate()).await;
    }
    vault.close().await;
    assert_eq!(account.tokens().await, 0);
    let other = account.vault().await;
    let _ = tokio::join!(other.authenticate(), other.close());
    assert_eq!(account.tokens().await, 0);
}

#[tokio::test]
async fn batch_tokens_serve_without_renewal_and_revocation() {
    let account = Account::new(&json!({"token_type": "batch", "token_ttl": "1h"})).await;
    account.allow().await;
    let vault = account.vault().await;
    look(&vault).await.unwrap();
    let sent = vault.server().requests_sent();
    vault.close().await;
    assert_eq!(vault.server().requests_sent(), sent);
}

#[tokio::test]
async fn a_given_token_is_looked_at_once_and_neither_renewed_nor_revoked() {
    let api = shared().await.api();
    let reader = policy_reader().await;
    for body in [json!({"policies": [reader], "ttl": "1h"}), json!({"policies": [reader], "no_default_policy": true})] {
        let (_, answer) = api.post("auth/token/create", &body).await;
        let token = answer["auth"]["client_token"].as_str().unwrap();
        let vault = with_token(shared().await, &format!(" {token}\n"));
        vault.authenticate().await.unwrap();
        look(&vault).await.unwrap();
        assert_eq!((vault.server().requests_sent(), vault.renew_at()), (2, None));
        vault.close().await;
        let (status, _) = api.post("auth/token/lookup", &json!({"token": token})).await;
        assert_eq!(status, 200, "it still lives");
    }
}

#[tokio::test]
async fn a_given_token_that_is_wrong_is_refused_and_an_unusable_one_not_even_sent() {
    let refused = error(with_token(shared().await, "hvs.wrong").authenticate().await);
    assert!(matches!(refused, VaultError::LoginRefused { .. }), "{refused:?}");
    assert!(!format!("{refused} {refused:?}").contains("hvs.wrong"));
    let vault = with_token(shared().await, "two\nlines");
    assert!(matches!(error(vault.authenticate().await), VaultError::InvalidRequest { .. }));
    assert_eq!(vault.server().requests_sent(), 0);
}

#[tokio::test]
async fn a_refused_login_is_not_tried_again_by_every_caller() {
    let mut account = reader("1h", "1h").await;
    account.secret_id = "wrong".to_owned();
    let vault = account.vault().await;
    for outcome in join_all((0..20).map(|_| look(&vault))).await {
        let refused = error(outcome);
        let VaultError::LoginRefused { message, .. } = &refused else { panic!("{refused:?}") };
        assert!(message.contains("secret"), "{message}");
    }
    assert!(account.logins().await <= 1, "one login for all: {}", account.logins().await);
}

struct FromIssuer {
    issuer: Issuer,
    asked: AtomicUsize,
}

impl JwtSource for FromIssuer {
    fn jwt(&self) -> BoxFuture<'_, Result<SecretString, VaultError>> {
        Box::pin(async {
            if self.asked.fetch_add(1, Ordering::SeqCst) == 0 {
                return Err(VaultError::NoJwt { reason: "not yet".to_owned() });
            }
            Ok(self.issuer.token("operator", "vault", &json!({})).into())
        })
    }
}

#[tokio::test]
async fn a_jwt_login_asks_its_source_each_time_and_works_again_when_the_cause_is_gone() {
    let (mount, admin) = (jwt_mount().await, shared().await.api());
    let issuer = Issuer::start().unwrap();
    admin.write(&format!("auth/{mount}/config"), &json!({"jwks_url": issuer.jwks_url()})).await;
    let source = Arc::new(FromIssuer { issuer, asked: AtomicUsize::new(0) });
    let credentials = Credentials::Jwt { mount: mount.clone(), role: "operator".to_owned(), source: source.clone() };
    let vault = Vault::new(server(shared().await.address()), credentials);
    assert_eq!(error(vault.authenticate().await), VaultError::NoJwt { reason: "not yet".to_owned() });
    let refused = eventually(PATIENCE, "the next try", async || {
        vault.authenticate().await.err().filter(|error| !matches!(error, VaultError::NoJwt { .. }))
    });
    let refused = refused.await.unwrap();
    assert!(
        matches!(&refused, VaultError::LoginRefused { message, .. } if message == "role \"operator\" could not be found"),
        "{refused:?}"
    );
    let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"]});
    admin.write(&format!("auth/{mount}/role/operator"), &role).await;
    eventually(PATIENCE, "a login", async || vault.authenticate().await.ok()).await.unwrap();
    assert_eq!(source.asked.load(Ordering::SeqCst), 3);
    vault.close().await;
}

#[tokio::test]
async fn a_namespace_is_refused_where_vault_would_ignore_it() {
    let vault = shared().await;
    let mark = vault.mark();
    let namespaced = ServerSettings { namespace: Some("team-a/".to_owned()), ..settings(vault.address()) };
    let namespaced = Server::new(namespaced).unwrap();
    let session = Vault::new(namespaced, Credentials::Token(vault.root_token().into()));
    let name = policy(&unique("namespaced"));
    assert_eq!(error(session.write_policy(&name, "path \"x\" {}").await), VaultError::NamespaceUnsupported);
    assert_eq!(root().await.read_policy(&name).await.unwrap(), None);
    let health = session.server().health().await.unwrap();
    assert_eq!(
        (health.enterprise, health.sealed, health.initialized, health.standby),
        (Some(false), false, true, false)
    );
    let asked = vault.requests_since(mark);
    assert!(!asked.iter().any(|request| request.is_write() && request.path.contains(name.as_str())), "{asked:?}");
}
