//! Which Vault is talked to, as whom, and what is said when that does not work.

use serde_json::json;

use super::{Case, SECRET, run};
use crate::lab::issuer::Behaviour;
use crate::lab::process::free_port;
use crate::lab::{Issuer, VaultServer};

/// An AppRole that may do everything: its role id and a secret id.
async fn app_role(case: &Case) -> (String, String) {
    let (vault, id) = (case.vault.api(), &case.id);
    let all = r#"path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"] }"#;
    vault.write("sys/policies/acl/cli-all", &json!({"policy": all})).await;
    vault.enable(&format!("auth/{id}/approle"), "approle").await;
    let role = format!("auth/{id}/approle/role/cli");
    vault.write(&role, &json!({"token_policies": ["cli-all"]})).await;
    let role_id = vault.read(&format!("{role}/role-id")).await["role_id"].as_str().unwrap().to_owned();
    let (_, secret) = vault.post(&format!("{role}/secret-id"), &json!({})).await;
    (role_id, secret["data"]["secret_id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_connection_among_the_files_logs_in_by_itself_and_gives_its_token_back() {
    let case = Case::new().await;
    let (role_id, secret_id) = app_role(&case).await;
    let auth = format!(
        "{{appRole: {{mount: {}/approle, roleId: {role_id}, secretIdRef: {{namespace: ops, name: vault, key: secret-id}}}}}}",
        case.id
    );
    case.write("connection.yaml", &case.connection(&auth));
    let folder = case.folder().display().to_string();
    let mark = case.vault.mark();

    let applied = run(&["apply", "-f", &folder], &[("VAULT_SECRET_ID", &secret_id)]).await;

    applied.ends_with(0).says(&["Applied: 5 created."]);
    let requests = case.vault.requests_since(mark);
    let count = |path: &str| requests.iter().filter(|request| request.path == path).count();
    assert_eq!(count(&format!("auth/{}/approle/login", case.id)), 1);
    assert!(
        requests.iter().any(|r| r.path == "auth/token/revoke-self"
            && r.display_name == format!("{}-approle", case.id.replace('/', "-")))
    );
}

#[tokio::test]
async fn a_persons_own_token_is_neither_renewed_nor_revoked() {
    let case = Case::new().await;
    let (_, made) = case.vault.api().post("auth/token/create", &json!({"ttl": "1h", "display_name": case.id})).await;
    let token = made["auth"]["client_token"].as_str().unwrap();
    let auth = "{token: {secretRef: {namespace: ops, name: vault, key: token}}}";
    let folder = case.folder().display().to_string();
    let mark = case.vault.mark();

    run(&["apply", "-f", &folder], &[("VAULT_ADDR", case.vault.address()), ("VAULT_TOKEN", token)]).await.ends_with(0);
    case.write("connection.yaml", &case.connection(auth));
    run(&["plan", "-f", &folder], &[("VAULT_TOKEN", token)]).await.ends_with(0);

    let (status, _) = case.vault.as_token(token).get("auth/token/lookup-self").await;
    assert_eq!(status, 200, "it lives");
    let paths: Vec<_> =
        case.vault.requests_since(mark).into_iter().filter(|r| r.display_name.contains(&case.id)).collect();
    assert!(!paths.iter().any(|r| r.path.contains("renew") || r.path.contains("revoke")), "left alone");
}

#[tokio::test]
async fn what_no_grant_allows_is_named_and_nothing_is_written() {
    let case = Case::new().await;
    let connection = case.connection("{token: {secretRef: {namespace: ops, name: vault, key: token}}}");
    let folder = case.folder().display().to_string();
    let environment = [("VAULT_TOKEN", case.vault.root_token())];
    for (granted, instead, field) in [
        ("roles: [backend]", "roles: [other]", "spec.roles[0].name"),
        ("manageConfig: true", "manageConfig: false", "spec.auth.config"),
        ("maxTokenTtl: 24h", "maxTokenTtl: 1h", "tokenMaxTtl"),
        ("paths: [\"terraform/*\"]", "paths: [\"other/*\"]", "spec.kv[0]"),
        ("names: [", "names: [not-", "no grant"),
        ("names: [", "selector: {matchLabels: {team: a}}, names: [not-", "is not among the files; add it"),
    ] {
        case.write("connection.yaml", &connection.replace(granted, instead));
        let mark = case.vault.mark();

        let applied = run(&["apply", "-f", &folder], &environment).await;

        applied.ends_with(1).says(&[field, "binding.yaml:1: document 1", "nothing was written"]);
        assert_eq!(case.writes_since(mark), [""; 0]);
    }
}

#[tokio::test]
async fn references_come_from_the_files_or_else_from_the_environment() {
    let case = Case::new().await;
    std::fs::remove_file(case.path("secret.yaml")).unwrap();
    let folder = case.folder().display().to_string();
    let mut environment = vec![("VAULT_ADDR", case.vault.address()), ("VAULT_TOKEN", case.vault.root_token())];

    run(&["apply", "-f", &folder], &environment).await.ends_with(1).says(&[
        "spec.kv[0].data[0].secretKeyRef",
        &format!("add Secret {}/tfc-token with key 'token' to the files, or set the variable TFC_TOKEN_TOKEN", case.id),
    ]);

    environment.push(("TFC_TOKEN_TOKEN", SECRET));
    let from = "spec.kv[0].data[0].secretKeyRef is the variable TFC_TOKEN_TOKEN";
    run(&["plan", "-f", &folder], &environment).await.ends_with(2).says(&[from]);
    let planned = run(&["plan", "-o", "json", "-f", &folder], &environment).await.json();
    let origin = json!([{"field": "spec.kv[0].data[0].secretKeyRef", "variable": "TFC_TOKEN_TOKEN"}]);
    assert_eq!(planned["bindings"][0]["fromEnvironment"], origin);
    run(&["apply", "-f", &folder], &environment).await.ends_with(0);
    let secret = case.vault.api().read(&format!("{}/kv/data/terraform/tfc-token", case.id)).await;
    assert_eq!(secret["data"], json!({"Badal_devex": SECRET}));
}

#[tokio::test]
async fn the_settings_of_the_command_are_never_written_to_vault() {
    let case = Case::new().await;
    let folder = case.folder().display().to_string();
    let own = "the settings of this command";
    for (name, key, variable) in [("vault", "token", "VAULT_TOKEN"), ("vjo", "cluster", "VJO_CLUSTER")] {
        let reference = format!("name: {name}, key: {key}");
        case.write("binding.yaml", &case.binding().replace("name: tfc-token, key: token", &reference));
        let environment =
            [("VAULT_ADDR", case.vault.address()), ("VAULT_TOKEN", case.vault.root_token()), ("VJO_CLUSTER", "ours")];
        let mark = case.vault.mark();
        for command in ["plan", "apply"] {
            let printed = run(&[command, "-f", &folder], &environment).await;
            printed.ends_with(1).says(&["spec.kv[0].data[0].secretKeyRef: not found", variable, own]);
        }
        assert!(!case.writes_since(mark).iter().any(|path| path.contains("/kv/")), "{name}");
    }
}

#[tokio::test]
async fn a_vault_that_cannot_be_used_is_told_in_one_message() {
    let case = Case::new().await;
    let folder = case.folder().display().to_string();
    let tls = VaultServer::start(true).await.unwrap();
    let other_ca = case.write("other-ca.pem", VaultServer::start(true).await.unwrap().ca().unwrap());
    let page = Issuer::start().unwrap();
    page.behave(Behaviour::Html);
    let absent = format!("http://127.0.0.1:{}", free_port().unwrap());
    let other_ca = other_ca.display().to_string();
    let root = case.vault.root_token();
    for (environment, message) in [
        (
            vec![("VAULT_ADDR", absent.as_str()), ("VAULT_TOKEN", root)],
            "VAULT_ADDR: cannot read sys/health: the connection was refused",
        ),
        (vec![("VAULT_ADDR", &page.url()), ("VAULT_TOKEN", root)], "environment: VAULT_ADDR: "),
        (
            vec![("VAULT_ADDR", tls.address()), ("VAULT_TOKEN", root), ("VAULT_CACERT", &other_ca)],
            "environment: VAULT_CACERT: ",
        ),
        (
            vec![("VAULT_ADDR", tls.address()), ("VAULT_TOKEN", root), ("VAULT_CACERT", "/nowhere.pem")],
            "environment: VAULT_CACERT: /nowhere.pem",
        ),
        (vec![("VAULT_ADDR", "vault.example"), ("VAULT_TOKEN", root)], "environment: VAULT_ADDR: "),
        (
            vec![("VAULT_ADDR", case.vault.address())],
            "environment: VAULT_TOKEN: there is no Vault token: set VAULT_TOKEN",
        ),
        (vec![("VAULT_ADDR", case.vault.address()), ("VAULT_TOKEN", "nonsense")], "environment: VAULT_TOKEN: "),
        (
            vec![("VAULT_ADDR", case.vault.address()), ("VAULT_TOKEN", root), ("VAULT_NAMESPACE", "a")],
            "environment: VAULT_NAMESPACE: ",
        ),
    ] {
        for command in ["plan", "apply"] {
            let printed = run(&[command, "-f", &folder], &environment).await;
            printed.ends_with(1).says(&[message]);
        }
    }
    let (status, _) = tls.api().post("sys/seal", &json!({})).await;
    assert_eq!(status, 204);
    let ca = case.write("ca.pem", tls.ca().unwrap()).display().to_string();
    let environment = [("VAULT_ADDR", tls.address()), ("VAULT_TOKEN", root), ("VAULT_CACERT", &ca)];
    run(&["plan", "-f", &folder], &environment).await.ends_with(1).says(&["is sealed", "vault operator unseal"]);
}

#[tokio::test]
async fn a_connection_that_is_not_among_the_files_is_named_and_no_other_vault_is_asked() {
    let case = Case::new().await;
    let other = case.connection("{token: {secretRef: {namespace: ops, name: vault, key: token}}}");
    case.write("connection.yaml", &other.replace("name: main", "name: other"));
    let mark = case.vault.mark();

    for command in ["plan", "apply"] {
        let printed = case.run(command, &[]).await;
        printed.ends_with(1).says(&["spec.connectionRef.name", "'main' is not among the files, which hold 'other'"]);
    }
    assert!(!case.vault.requests_since(mark).iter().any(|request| request.path.contains(&case.id)));
}

#[tokio::test]
async fn a_connection_that_only_a_pod_can_use_says_what_to_do_with_ones_own_token() {
    let case = Case::new().await;
    case.write("connection.yaml", &case.connection("{kubernetes: {role: operator}}"));

    case.run("apply", &[]).await.ends_with(1).says(&[
        "connection.yaml:1: document 1, VaultConnection main: spec.auth.kubernetes: this login needs",
        "VAULT_TOKEN is set: to use it, leave the VaultConnection out of the files",
    ]);
}
