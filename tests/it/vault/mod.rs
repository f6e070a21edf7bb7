//! The room that talks to Vault, against a real one: what it reads, what it leaves there, and what it says when Vault,
//! or what stands in front of it, does not do as asked.

mod kv;
mod limits;
mod objects;
mod refused;
mod session;
mod tls;

use std::time::Duration;

use tokio::sync::OnceCell;
use vault_jwt_operator::api::names::{KvPath, MountPath, PolicyName, RoleName};
use vault_jwt_operator::vault::{Credentials, Deadlines, Server, ServerSettings, Vault, VaultError};

use crate::lab::{VaultServer, unique};

/// The Vault that the tests of this room share; isolate by `unique` mounts and names.
async fn shared() -> &'static VaultServer {
    static SHARED: OnceCell<VaultServer> = OnceCell::const_new();
    SHARED.get_or_init(async || VaultServer::start(false).await.expect("a Vault")).await
}

fn settings(address: &str) -> ServerSettings {
    ServerSettings {
        address: address.to_owned(),
        namespace: None,
        ca_pem: None,
        client_identity_pem: None,
        server_name: None,
        requests_per_second: 1000,
        concurrent_requests: 16,
    }
}

fn server(address: &str) -> Server {
    Server::new(settings(address)).expect("usable settings")
}

/// Short ones, for what never answers.
fn impatient(address: &str) -> Server {
    let short = Duration::from_millis(300);
    let deadlines = Deadlines { connect: short, call: short, config_write: short * 2, close: short };
    Server::with_deadlines(settings(address), deadlines).expect("usable settings")
}

/// The shared Vault with the root token.
async fn root() -> Vault {
    let vault = shared().await;
    with_token(vault, vault.root_token())
}

fn with_token(vault: &VaultServer, token: &str) -> Vault {
    Vault::new(server(vault.address()), Credentials::Token(token.into()))
}

/// A token on the shared Vault that may do only what this policy says.
async fn limited(policy: &str) -> Vault {
    let (vault, name) = (shared().await, unique("limited"));
    vault.api().write(&format!("sys/policies/acl/{name}"), &serde_json::json!({"policy": policy})).await;
    let (_, answer) = vault.api().post("auth/token/create", &serde_json::json!({"policies": [name]})).await;
    with_token(vault, answer["auth"]["client_token"].as_str().expect("a token"))
}

/// A fresh jwt mount on the shared Vault.
async fn jwt_mount() -> MountPath {
    let mount = MountPath::new(&unique("jwt")).unwrap();
    root().await.enable_jwt(&mount).await.expect("a jwt mount");
    mount
}

fn mount(text: &str) -> MountPath {
    MountPath::new(text).unwrap()
}

fn role(text: &str) -> RoleName {
    RoleName::new(text).unwrap()
}

fn policy(text: &str) -> PolicyName {
    PolicyName::new(text).unwrap()
}

fn path(text: &str) -> KvPath {
    KvPath::new(text).unwrap()
}

/// The error of something that must fail.
fn error<T>(result: Result<T, VaultError>) -> VaultError {
    result.err().expect("a failure")
}
