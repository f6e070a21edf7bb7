//! Bad input: each names file and field and the next step, and Vault is not even asked.

use super::{Case, SECRET, run};
use crate::lab::process::Scratch;

/// What is put in place of what, and what is said about it.
type Row = (&'static str, &'static str, &'static [&'static str]);

const BINDING: &[Row] = &[
    // Malformed YAML.
    ("spec:\n", "spec: [\n", &["binding.yaml:6:3: document 1", "malformed YAML"]),
    ("  roles:\n", "\troles:\n", &["binding.yaml:14:1: document 1", "malformed YAML"]),
    // What the types do not know.
    (
        "    userClaim: sub",
        "    userClam: sub",
        &["binding.yaml:18: document 1", "spec.roles[0].userClam", "unknown field"],
    ),
    (
        "  connectionRef:",
        "  adoption: Maybe\n  connectionRef:",
        &["binding.yaml:5", "spec.adoption", "'Maybe'", "'Adopt'"],
    ),
    ("    enable: true", "    enable: perhaps", &["binding.yaml:8", "spec.auth.enable", "boolean"]),
    ("[ES256]", "[HS256]", &["spec.auth.config.supportedAlgorithms[0]", "'HS256'", "'ES256'"]),
    ("vault.badal.io/v1alpha1", "vault.badal.io/v1", &["binding.yaml:1", "apiVersion", "'vault.badal.io/v1alpha1'"]),
    ("kind: VaultJwtBinding", "kind: VaultJWTBinding", &["kind", "must be 'VaultJwtBinding'"]),
    ("kind: VaultJwtBinding\n", "", &["kind", "must be set"]),
    ("name: backstage-backend,", "", &["metadata.name", "must be set"]),
    // A secret in the wrong place is not quoted.
    (
        "data: [{key: Badal_devex, secretKeyRef: {name: tfc-token, key: token}}]",
        "data: [hunter2-tfc-value]",
        &["binding.yaml:29", "spec.kv[0].data[0]", "invalid type: a string"],
    ),
    // What Vault would misread or refuse.
    ("  - name: backend", "  - name: ../backend", &["spec.roles[0].name", "'..'"]),
    ("  - name: backend", "  - name: a/b", &["spec.roles[0].name", "must consist of"]),
    ("  - name: backend", "  - name: Backend", &["spec.roles[0].name", "lower case"]),
    ("  - name: backend", "  - name: 'backend '", &["spec.roles[0].name", "must consist of"]),
    ("clockSkewLeeway: 60s", "clockSkewLeeway: 500ms", &["spec.roles[0].clockSkewLeeway", "whole number of seconds"]),
    (
        "    tokenTtl: 1h",
        "    boundClaims: [{claim: level, values: [1.5]}]\n    tokenTtl: 1h",
        &["spec.roles[0].boundClaims[0].values[0]"],
    ),
    ("path: terraform/tfc-token", "path: data/terraform/tfc-token", &["spec.kv[0].path", "without 'data/'"]),
    (
        "  policies:\n",
        "  - {name: backend, boundAudiences: [a], userClaim: sub, tokenMaxTtl: 1h}\n  policies:\n",
        &["spec.roles[1].name"],
    ),
    ("key: token}", "key: absent}", &["spec.kv[0].data[0].secretKeyRef", "TFC_TOKEN_ABSENT"]),
    ("boundAudiences: [backstage]", "boundAudiences: []", &["spec.roles[0].boundAudiences"]),
];

const SECRETS: &[Row] = &[
    ("stringData: {token: ", "stringData: {token: [", &["secret.yaml", "malformed YAML"]),
    ("stringData: {token: ", "stringData: {token: 5, other: ", &["secret.yaml:4", "stringData.token", "quote numbers"]),
    ("stringData: {token: ", "data: {token: ", &["secret.yaml:4", "data.token", "base64"]),
    ("stringData:", "stringDta:", &["secret.yaml:4", "stringDta", "unknown field"]),
    ("stringData: {token: ", "stringData: {token: x, token: ", &["secret.yaml", "token"]),
    ("stringData: {token: ", "data: {token: //79}\ntype: {x: ", &["secret.yaml", "type"]),
];

async fn each_is_refused(case: &Case, file: &str, good: &str, rows: &[Row]) {
    for (here, instead, says) in rows {
        assert!(good.contains(here), "{here}");
        case.write(file, &good.replacen(here, instead, 1));
        let mark = case.vault.mark();
        for command in ["plan", "apply"] {
            let printed = case.run(command, &[]).await;
            printed.ends_with(1).says(says).says(&[file]);
        }
        assert_eq!(case.writes_since(mark), [""; 0], "{instead}");
    }
    case.write(file, good);
}

#[tokio::test]
async fn a_bad_binding_is_refused_by_file_and_field() {
    let case = Case::new().await;
    each_is_refused(&case, "binding.yaml", &case.binding(), BINDING).await;
}

#[tokio::test]
async fn a_bad_secret_is_refused_without_a_word_of_its_content() {
    let case = Case::new().await;
    each_is_refused(&case, "secret.yaml", &case.secret(), SECRETS).await;
    // Bytes that are no text, seen only where the binding uses them.
    let binary = case.secret().replace(&format!("stringData: {{token: {SECRET}}}"), "data: {token: //79}");
    case.write("secret.yaml", &binary);
    case.run("apply", &[]).await.ends_with(1).says(&["binding.yaml", "spec.kv[0].data[0].secretKeyRef", "UTF-8"]);
}

#[tokio::test]
async fn all_bad_documents_are_reported_at_once() {
    let case = Case::new().await;
    let bad = format!(
        "{}---\n{}---\n{}",
        case.binding().replace("mount:", "mont:"),
        "a: [\n",
        case.secret().replace("v1", "v1\nx: y")
    );
    case.write("binding.yaml", &bad);
    std::fs::remove_file(case.path("secret.yaml")).unwrap();
    case.write("ignored.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n");

    let printed = case.run("plan", &[]).await;
    printed.ends_with(1).says(&[
        "document 1, VaultJwtBinding",
        "mont: unknown field",
        "document 2",
        "document 3, Secret",
        "x: unknown field",
    ]);

    let report = case.run("plan", &["-o", "json"]).await.json();
    assert_eq!(report["outcome"], "Failed");
    assert!(
        report["problems"]
            .as_array()
            .unwrap()
            .iter()
            .any(|problem| problem["document"] == 2 && problem["line"].is_u64())
    );
}

#[tokio::test]
async fn files_that_are_not_there_or_hold_no_binding_are_named() {
    let case = Case::new().await;
    let secret = case.path("secret.yaml").display().to_string();
    run(&["plan", "-f", "/nowhere.yaml"], &[]).await.ends_with(1).says(&["/nowhere.yaml: cannot be read"]);
    run(&["plan", "-f", &secret], &[]).await.ends_with(1).says(&["secret.yaml: holds no VaultJwtBinding"]);
    run(&["plan"], &[]).await.ends_with(1).says(&["--filename"]);
    run(&["plan", "--help"], &[]).await.ends_with(0).says(&["Examples:", "VAULT_ADDR", "TFC_TOKEN_TOKEN"]);
    run(&["--version"], &[]).await.ends_with(0).says(&["vault-jwt-operator 0."]);
}

#[tokio::test]
async fn values_of_any_size_that_vault_takes_are_written_and_larger_ones_are_refused() {
    let case = Case::new().await;
    let path = format!("{}/kv/data/terraform/tfc-token", case.id);
    for value in [String::new(), "x".repeat(900_000)] {
        case.write("secret.yaml", &case.secret().replace(SECRET, &format!("'{value}'")));
        case.run("apply", &[]).await.ends_with(0);
        let secret = case.vault.api().read(&path).await;
        assert!(secret["data"]["Badal_devex"] == *value, "{} bytes", value.len());
    }
    case.write("secret.yaml", &case.secret().replace(SECRET, &"x".repeat(1024 * 1024)));
    case.run("apply", &[]).await.ends_with(1).says(&["binding.yaml", "spec.kv[0].data", "at most 1000000"]);
}

#[tokio::test]
async fn the_definitions_are_printed_as_yaml_and_as_json() {
    let yaml = run(&["crds"], &[]).await;
    yaml.ends_with(0).says(&[
        "vaultconnections.vault.badal.io",
        "vaultjwtbindings.vault.badal.io",
        "kind: CustomResourceDefinition",
    ]);
    let json = run(&["crds", "-o", "json"], &[]).await.json();
    assert_eq!(json["items"].as_array().map(Vec::len), Some(2));
    let folder = Scratch::new().unwrap();
    let path = folder.path().join("crds").display().to_string();
    run(&["crds", "--output-dir", &path], &[]).await.ends_with(0);
    let files = ["vaultconnections", "vaultjwtbindings"];
    let texts = files.map(|name| format!("---\n{}", std::fs::read_to_string(format!("{path}/{name}.yaml")).unwrap()));
    assert_eq!(texts.concat(), yaml.out);
}
