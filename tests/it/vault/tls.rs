//! TLS towards Vault: a private CA in place of the system's, a name other than the host's, and a client certificate.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tokio::sync::OnceCell;
use vault_jwt_operator::vault::{ConnectFailure, Server, ServerSettings, TlsFailure, VaultError};

use super::{error, settings, shared};
use crate::lab::process::{Process, Scratch, free_port};
use crate::lab::{VaultServer, servers, unique};

async fn private() -> &'static VaultServer {
    static PRIVATE: OnceCell<VaultServer> = OnceCell::const_new();
    PRIVATE.get_or_init(async || VaultServer::start(true).await.expect("a Vault with TLS")).await
}

fn trusting(vault: &VaultServer) -> ServerSettings {
    ServerSettings { ca_pem: vault.ca().map(|pem| pem.as_bytes().to_vec()), ..settings(vault.address()) }
}

async fn failure(settings: ServerSettings) -> TlsFailure {
    let refused = error(Server::new(settings).unwrap().health().await);
    let VaultError::Unreachable { reason: ConnectFailure::Tls(failure), .. } = refused else { panic!("{refused:?}") };
    failure
}

#[tokio::test]
async fn a_private_ca_is_trusted_when_it_is_given_and_only_then() {
    let vault = private().await;
    assert!(Server::new(trusting(vault)).unwrap().health().await.unwrap().initialized);
    assert_eq!(failure(settings(vault.address())).await, TlsFailure::UnknownCa, "the system does not know it");
    let other = VaultServer::start(true).await.unwrap();
    let wrong = ServerSettings { ca_pem: trusting(&other).ca_pem, ..settings(vault.address()) };
    assert_eq!(failure(wrong).await, TlsFailure::UnknownCa, "another CA");
    let mut both = trusting(&other).ca_pem.unwrap();
    both.extend(trusting(vault).ca_pem.unwrap());
    let both = ServerSettings { ca_pem: Some(both), ..settings(vault.address()) };
    assert!(Server::new(both).unwrap().health().await.is_ok(), "a bundle of two");
}

#[tokio::test]
async fn another_ca_with_the_same_name_is_an_unknown_one_whatever_its_key() {
    let vault = private().await;
    let api = shared().await.api();
    for (key_type, key_bits) in [("ec", 256), ("ec", 384), ("rsa", 2048), ("ed25519", 0)] {
        let pki = unique("pki");
        api.enable(&format!("mounts/{pki}"), "pki").await;
        let same = json!({"common_name": "Vault Dev CA", "key_type": key_type, "key_bits": key_bits});
        let (_, made) = api.post(&format!("{pki}/root/generate/internal"), &same).await;
        let pem = made["data"]["certificate"].as_str().expect("a certificate");
        let wrong = ServerSettings { ca_pem: Some(pem.into()), ..settings(vault.address()) };
        assert_eq!(failure(wrong).await, TlsFailure::UnknownCa, "{key_type} {key_bits}");
    }
}

#[tokio::test]
async fn the_name_in_the_certificate_may_differ_from_the_host_if_it_is_named() {
    let vault = private().await;
    let named = |name: &str| ServerSettings { server_name: Some(name.to_owned()), ..trusting(vault) };
    assert!(Server::new(named("localhost")).unwrap().health().await.is_ok(), "{}", vault.address());
    assert_eq!(failure(named("vault.internal")).await, TlsFailure::WrongName);
}

#[tokio::test]
async fn tls_and_none_are_told_apart() {
    let plain = shared().await.address().replace("http:", "https:");
    assert_eq!(failure(settings(&plain)).await, TlsFailure::NotTls);
    let private = private().await.address().replace("https:", "http:");
    let refused = error(Server::new(settings(&private)).unwrap().health().await);
    assert!(matches!(refused, VaultError::NotVault { status: 400, .. }), "{refused:?}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_vault_wants_one() {
    let scratch = Scratch::new().unwrap();
    let folder = scratch.path();
    let file = |name: &str| folder.join(name);
    let vault = servers().unwrap().join("vault");
    // A development server makes a CA and a certificate that serves on either side.
    let arguments = ["server", "-dev", "-dev-tls", "-dev-no-store-token", "-dev-listen-address=127.0.0.1:0"];
    let mut arguments = arguments.map(str::to_owned).to_vec();
    arguments.push(format!("-dev-tls-cert-dir={}", folder.display()));
    let maker = Process::start(folder, "maker", &vault, &arguments, &[]).unwrap();
    let made = ["vault-ca.pem", "vault-cert.pem", "vault-key.pem"];
    let ready =
        async || made.iter().all(|name| fs::read_to_string(file(name)).is_ok_and(|pem| pem.contains("-----END")));
    maker.wait_ready(Duration::from_secs(60), ready).await.unwrap();
    let pem = |name: &str| fs::read_to_string(file(name)).unwrap();
    let (ca, identity) = (pem("vault-ca.pem"), format!("{}\n{}", pem("vault-cert.pem"), pem("vault-key.pem")));
    let kept = [("own-cert.pem", "vault-cert.pem"), ("own-key.pem", "vault-key.pem"), ("own-ca.pem", "vault-ca.pem")];
    for (own, name) in kept {
        fs::copy(file(name), file(own)).unwrap();
    }
    drop(maker);
    let (process, address) = loop {
        let listen = format!("127.0.0.1:{}", free_port().unwrap());
        let config = format!(
            "disable_mlock = true\nstorage \"inmem\" {{}}\nlistener \"tcp\" {{\n address = \"{listen}\"\n tls_cert_file = \
             \"{0}/own-cert.pem\"\n tls_key_file = \"{0}/own-key.pem\"\n tls_client_ca_file = \"{0}/own-ca.pem\"\n \
             tls_require_and_verify_client_cert = true\n}}\n",
            folder.display()
        );
        fs::write(file("vault.hcl"), config).unwrap();
        let arguments = ["server".to_owned(), format!("-config={}", file("vault.hcl").display())];
        let process = Process::start(folder, "vault", &vault, &arguments, &[]).unwrap();
        let listens = async || tokio::net::TcpStream::connect(&listen).await.is_ok();
        match process.wait_ready(Duration::from_secs(60), listens).await {
            Ok(()) => break (process, format!("https://{listen}")),
            Err(_) if process.lost_its_port() => {}
            Err(error) => panic!("{error}"),
        }
    };
    let without = ServerSettings { ca_pem: Some(ca.into_bytes()), ..settings(&address) };
    let with = ServerSettings {
        ca_pem: without.ca_pem.clone(),
        client_identity_pem: Some(identity.into()),
        ..settings(&address)
    };
    assert_eq!(failure(without).await, TlsFailure::ClientCertificate);
    let health = Server::new(with).unwrap().health().await.unwrap();
    assert!(
        !health.initialized && health.sealed,
        "a Vault that was never initialised answers all the same: {health:?}"
    );
    drop(process);
}
