//! The lab itself: the servers are the real ones, and they end with the process that started them.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::lab::issuer::Behaviour;
use crate::lab::process::{Process, Scratch};
use crate::lab::{Issuer, KUBERNETES_AUTH, Lab, VaultServer, eventually, unique};

#[tokio::test]
async fn a_service_account_of_the_control_plane_logs_in_to_vault() {
    let lab = Lab::shared().await;
    let namespace = lab.namespace().await.unwrap();
    let role = lab.operator_account(&namespace).await.unwrap();
    let token = lab.token_of(&namespace, "operator", None).await.unwrap();

    let (status, answer) = lab.vault().login(KUBERNETES_AUTH, &role, &token).await;

    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["auth"]["token_policies"], json!(["default", "lab-operator"]));
}

#[tokio::test]
async fn a_token_of_the_issuer_is_accepted_by_vault_and_counted() {
    let lab = Lab::shared().await;
    let (vault, issuer, mount) = (lab.vault(), Issuer::start().unwrap(), unique("jwt"));
    vault.enable(&format!("auth/{mount}"), "jwt").await;
    vault.write(&format!("auth/{mount}/config"), &json!({"jwks_url": issuer.jwks_url()})).await;
    let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["backstage"]});
    vault.write(&format!("auth/{mount}/role/service"), &role).await;
    let mark = lab.vault_server.mark();

    let (status, answer) = vault.login(&mount, "service", &issuer.token("plugin", "backstage", &json!({}))).await;

    assert_eq!(status, 200, "{answer}");
    assert!(issuer.asked() > 0);
    let login = format!("auth/{mount}/login");
    assert_eq!(lab.vault_server.requests_since(mark).iter().filter(|request| request.path == login).count(), 1);

    issuer.behave(Behaviour::Html);
    let (status, _) = vault.post(&format!("auth/{mount}/config"), &json!({"jwks_url": issuer.jwks_url()})).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn the_apiserver_counts_what_a_client_did() {
    let lab = Lab::shared().await;
    let mark = lab.control_plane.mark();

    let namespace = lab.namespace().await.unwrap();

    let requests = lab.control_plane.requests_since(mark);
    assert!(requests.iter().any(|r| r.verb == "create" && r.resource == "namespaces" && r.name == namespace));
}

#[tokio::test]
async fn a_vault_with_tls_is_sealed_and_unsealed() {
    let vault = VaultServer::start(true).await.unwrap();
    assert!(vault.address().starts_with("https://") && vault.ca().is_some());

    assert_eq!(vault.api().post("sys/seal", &json!({})).await.0, 204);
    assert_eq!(vault.api().get("sys/policies/acl/default").await.0, 503);

    let key = vault.unseal_key().await.unwrap();
    assert_eq!(vault.api().post("sys/unseal", &json!({"key": key})).await.0, 200);
    eventually(Duration::from_secs(10), "Vault answers again", async || {
        (vault.api().get("sys/policies/acl/default").await.0 == 200).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_child_and_what_it_started_end_with_their_owner() {
    let scratch = Scratch::new().unwrap();
    let folder = scratch.path().to_owned();
    let script = ["-c".to_owned(), "sleep 1000 & echo $!; wait".to_owned()];
    let child = Process::start(&folder, "child", Path::new("/bin/sh"), &script, &[]).unwrap();
    let grandchild =
        eventually(Duration::from_secs(10), "it says its pid", async || child.log().trim().parse::<u32>().ok());
    let pids = [child.pid(), grandchild.await.unwrap()];
    assert!(pids.iter().all(|pid| is_running(*pid)));

    drop((child, scratch));

    let gone = eventually(Duration::from_secs(10), "both end", async || {
        (!pids.iter().any(|pid| is_running(*pid))).then_some(())
    });
    gone.await.unwrap();
    assert!(!folder.exists());
}

/// The test is its own victim: it runs itself again, and kills that with a signal that nothing can catch.
#[tokio::test]
async fn a_killed_owner_leaves_neither_process_nor_file() {
    const ROLE: &str = "LAB_TEST_OWNS_A_CHILD";
    if std::env::var_os(ROLE).is_some() {
        let scratch = Scratch::new().unwrap();
        let child = Process::start(scratch.path(), "child", Path::new("/bin/sleep"), &["1000".into()], &[]).unwrap();
        println!("owned {} {}", child.pid(), scratch.path().display());
        std::future::pending::<()>().await;
    }
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "servers::a_killed_owner_leaves_neither_process_nor_file", "--nocapture"])
        .env(ROLE, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.find_map(|line| line.split_once("owned ").map(|(_, said)| said.to_owned())).unwrap();
    let (pid, folder) = said.split_once(' ').unwrap();
    let (pid, folder) = (pid.parse().unwrap(), Path::new(folder));
    assert!(is_running(pid) && folder.exists());

    owner.kill().unwrap();
    owner.wait().unwrap();

    let gone = eventually(Duration::from_secs(10), "child and folder are gone", async || {
        (!is_running(pid) && !folder.exists()).then_some(())
    });
    gone.await.unwrap();
}

fn is_running(pid: u32) -> bool {
    let ps = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8_lossy(&ps.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}
