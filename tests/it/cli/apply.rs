//! `plan` and `apply` on the founding case: made, left alone, spoilt and put right.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Case, SECRET, run, run_with_input};
use crate::lab::eventually;
use crate::lab::issuer::Behaviour;
use crate::lab::operator::binary;
use crate::lab::process::{Process, Scratch};

#[tokio::test]
async fn the_founding_case_is_planned_then_made_and_then_left_alone() {
    let case = Case::new().await;
    let (id, vault) = (&case.id, case.vault.api());

    let mark = case.vault.mark();
    let planned = case.run("plan", &[]).await;
    planned.ends_with(2).says(&[
        &format!("+ AuthMount {id}/jwt"),
        &format!("+ Policy {id}"),
        &format!("+ Kv {id}/kv/terraform/tfc-token"),
        "Badal_devex: (sensitive)",
        &format!("+ JwtConfig {id}/jwt"),
        &format!("jwks_url: {}", case.issuer.jwks_url()),
        &format!("+ Role {id}/jwt/backend"),
        "token_ttl: 3600",
        "Plan: 5 to create.",
    ]);
    assert_eq!(case.writes_since(mark), [""; 0], "a plan only reads");

    case.run("apply", &[]).await.ends_with(0).says(&["Applied: 5 created."]);

    let config = vault.read(&format!("auth/{id}/jwt/config")).await;
    assert_eq!(config["jwks_url"], json!(case.issuer.jwks_url()));
    let role = vault.read(&format!("auth/{id}/jwt/role/backend")).await;
    assert_eq!((&role["token_ttl"], &role["clock_skew_leeway"]), (&json!(3600), &json!(60)));
    let secret = vault.read(&format!("{id}/kv/data/terraform/tfc-token")).await;
    assert_eq!(secret["data"], json!({"Badal_devex": SECRET}));
    let token = case.issuer.token("backstage-backend", "backstage", &json!({}));
    let (status, answer) = vault.login(&format!("{id}/jwt"), "backend", &token).await;
    assert_eq!((status, &answer["auth"]["token_policies"]), (200, &json!([id, "default"])), "{answer}");

    let mark = case.vault.mark();
    case.run("plan", &[]).await.ends_with(0).says(&["Nothing to do"]);
    case.run("apply", &[]).await.ends_with(0).says(&["Nothing to do"]);
    assert_eq!(case.writes_since(mark), [""; 0], "nothing to do means nothing written");
}

#[tokio::test]
async fn what_was_spoilt_is_shown_with_both_values_and_put_right() {
    let case = Case::new().await;
    let (id, vault) = (&case.id, case.vault.api());
    case.run("apply", &[]).await.ends_with(0);
    let role = format!("auth/{id}/jwt/role/backend");
    let policy = format!("sys/policies/acl/{id}");
    let text = vault.read(&policy).await["policy"].as_str().unwrap().to_owned();

    for (path, body, shown) in [
        (&role, json!({"role_type": "jwt", "token_ttl": "2h"}), &["token_ttl: 7200 → 3600"][..]),
        (
            &role,
            json!({"role_type": "jwt", "token_num_uses": 3, "bound_subject": "x"}),
            &["token_num_uses: 3 → 0", "bound_subject: x → backstage-backend"],
        ),
        (&role, json!({"role_type": "jwt", "bound_audiences": ["backstage", "other"]}), &["bound_audiences:"]),
        (&policy, json!({"policy": text.replace("read", "delete")}), &["delete", "read"]),
        (
            &format!("auth/{id}/jwt/config"),
            json!({"jwks_url": case.issuer.jwks_url()}),
            &["default_role: \"\" → backend"],
        ),
        (
            &format!("{id}/kv/data/terraform/tfc-token"),
            json!({"data": {"Badal_devex": "x", "other": "y"}}),
            &["Badal_devex: (sensitive) → (sensitive)"],
        ),
    ] {
        vault.write(path, &body).await;

        case.run("plan", &[]).await.ends_with(2).says(shown).says(&["Plan: 1 to update, 4 unchanged."]);
        case.run("apply", &[]).await.ends_with(0).says(&["Applied: 1 updated, 4 unchanged."]);
        case.run("plan", &[]).await.ends_with(0);
    }
    let secret = vault.read(&format!("{id}/kv/data/terraform/tfc-token")).await;
    assert_eq!(secret["data"], json!({"Badal_devex": SECRET, "other": "y"}), "other keys are left alone");
}

#[tokio::test]
async fn json_names_object_field_and_both_values() {
    let case = Case::new().await;
    case.run("apply", &[]).await.ends_with(0);
    let role = format!("auth/{}/jwt/role/backend", case.id);
    case.vault.api().write(&role, &json!({"role_type": "jwt", "token_ttl": "2h"})).await;

    let planned = case.run("plan", &["-o", "json"]).await;

    let report = planned.ends_with(2).json();
    assert_eq!(report["outcome"], "Changes");
    assert_eq!(report["summary"], json!({"create": 0, "update": 1, "takeOver": 0, "unchanged": 4, "problems": 0}));
    let objects = report["bindings"][0]["objects"].as_array().unwrap();
    let found: Vec<&Value> = objects.iter().filter(|object| object["action"] == "update").collect();
    let path = format!("{}/jwt/backend", case.id);
    let change = json!({"field": "token_ttl", "expected": "3600", "found": "7200"});
    assert_eq!(found, [&json!({"kind": "Role", "path": path, "action": "update", "changes": [change]})]);
}

#[tokio::test]
async fn what_nobody_marked_is_taken_over_and_what_another_binding_marked_is_not() {
    let case = Case::new().await;
    let (id, vault) = (&case.id, case.vault.api());
    case.run("apply", &[]).await.ends_with(0);
    let policy = format!("sys/policies/acl/{id}");
    let text = vault.read(&policy).await["policy"].as_str().unwrap().to_owned();
    let (marker, body) = text.split_once('\n').unwrap();

    vault.write(&policy, &json!({"policy": body.replace("read", "list")})).await;
    case.run("plan", &[]).await.ends_with(2).says(&[&format!("~ Policy {id}: carries no marker, and is taken over")]);
    vault.write(&policy, &json!({"policy": body})).await;
    case.run("plan", &[]).await.ends_with(2).says(&[&format!("= Policy {id}"), "marker: local/", "1 to take over"]);
    case.run("apply", &[]).await.ends_with(0);
    assert_eq!(vault.read(&policy).await["policy"], json!(text));

    let foreign = text.replace(marker, "# Managed by vault-jwt-operator for prod/team/other");
    vault.write(&policy, &json!({"policy": foreign})).await;
    case.run("plan", &[]).await.ends_with(1).says(&[&format!("! Policy {id}"), "another binding's, 'prod/team/other'"]);
    case.write("binding.yaml", &case.binding().replace("spec:\n", "spec:\n  adoption: Adopt\n"));
    case.run("apply", &[]).await.ends_with(1).says(&[&format!("! Policy {id}")]);
    assert_eq!(vault.read(&policy).await["policy"], json!(foreign), "left alone");
}

#[tokio::test]
async fn an_issuer_that_fails_hides_nothing_else() {
    let case = Case::new().await;
    case.issuer.behave(Behaviour::NotFound);

    let applied = case.run("apply", &[]).await;

    applied.ends_with(1).says(&[
        &format!("! JwtConfig {}/jwt: cannot write", case.id),
        "issuer",
        "+ Policy",
        "+ Role",
        "1 problem",
    ]);
    case.issuer.behave(Behaviour::Keys);
    case.run("apply", &[]).await.ends_with(0).says(&["Applied: 1 created, 4 unchanged."]);
}

#[tokio::test]
async fn ctrl_c_ends_it_at_once_and_the_same_command_goes_on() {
    let case = Case::new().await;
    case.issuer.behave(Behaviour::Hang);
    let arguments = ["apply".to_owned(), "-f".to_owned(), case.folder().display().to_string()];
    let environment =
        [("VAULT_ADDR", case.vault.address().to_owned()), ("VAULT_TOKEN", case.vault.root_token().to_owned())];
    let scratch = Scratch::new().unwrap();
    let mut apply = Process::start(scratch.path(), "apply", &binary(), &arguments, &environment).unwrap();
    let asked = async || (case.issuer.asked() > 0).then_some(());
    eventually(Duration::from_secs(30), "Vault asks the issuer", asked).await.unwrap();

    apply.signal("INT").unwrap();

    assert_eq!(apply.wait_exit(Duration::from_secs(10)).await.unwrap(), 130, "{}", apply.log());
    let said = format!("interrupted at JwtConfig {}/jwt", case.id);
    assert!(apply.log().contains(&said) && apply.log().contains("3 of 5 objects were done"), "{}", apply.log());
    case.issuer.behave(Behaviour::Keys);
    case.run("apply", &[]).await.ends_with(0).says(&["Applied: 2 created, 3 unchanged."]);
}

#[tokio::test]
async fn two_bindings_that_claim_one_role_are_told_so() {
    let case = Case::new().await;
    case.write("second.yaml", &case.binding().replace("name: backstage-backend,", "name: second,"));
    let mark = case.vault.mark();

    let applied = case.run("apply", &[]).await;

    let role = format!("Role {}/jwt/backend is claimed by VaultJwtBinding {}/backstage-backend too", case.id, case.id);
    applied.ends_with(1).says(&["second.yaml:1: document 1, VaultJwtBinding", &role, "nothing was written"]);
    assert_eq!(case.writes_since(mark), [""; 0]);
}

#[tokio::test]
async fn what_lacks_in_vault_or_is_in_the_way_is_named_with_what_to_do() {
    let case = Case::new().await;
    case.vault.api().enable(&format!("auth/{}/other", case.id), "userpass").await;
    let (mount, kv) = (format!("mount: {}/jwt", case.id), format!("mount: {}/kv", case.id));
    for (here, instead, says) in [
        (mount.as_str(), format!("mount: {}/other", case.id), "'userpass' is mounted there"),
        ("    enable: true\n", String::new(), "nothing is mounted there; set auth.enable"),
        (&kv, format!("mount: {}/absent", case.id), "! Kv"),
    ] {
        case.write("binding.yaml", &case.binding().replace(here, &instead));
        for command in ["plan", "apply"] {
            let printed = case.run(command, &[]).await;
            printed.ends_with(1).says(&[says, "problem"]);
        }
    }
}

#[tokio::test]
async fn a_policy_that_vault_refuses_is_named_and_its_role_waits() {
    let case = Case::new().await;
    let rules = format!("rules: [{{path: {}/kv/data/terraform/*, capabilities: [read]}}]", case.id);
    case.write("binding.yaml", &case.binding().replace(&rules, "hcl: 'path {'"));

    let applied = case.run("apply", &[]).await;

    applied.ends_with(1).says(&[&format!("! Policy {}: ", case.id), "failed to parse policy", "waits for policy"]);
}

#[tokio::test]
async fn a_token_that_may_not_list_the_mounts_still_tells_what_differs() {
    let case = Case::new().await;
    let (id, vault) = (&case.id, case.vault.api());
    case.run("apply", &[]).await.ends_with(0);
    let all = r#"path "*" { capabilities = ["create", "read", "update", "list", "patch"] }
        path "sys/auth" { capabilities = ["deny"] }"#;
    vault.write(&format!("sys/policies/acl/{id}-rest"), &json!({"policy": all})).await;
    let (_, made) = vault.post("auth/token/create", &json!({"policies": [format!("{id}-rest")]})).await;
    let environment =
        [("VAULT_ADDR", case.vault.address()), ("VAULT_TOKEN", made["auth"]["client_token"].as_str().unwrap())];
    let folder = case.folder().display().to_string();

    run(&["plan", "-f", &folder], &environment).await.ends_with(0);
    vault.write(&format!("auth/{id}/jwt/role/backend"), &json!({"role_type": "jwt", "token_ttl": "2h"})).await;
    run(&["plan", "-f", &folder], &environment).await.ends_with(2).says(&["1 to update, 4 unchanged"]);

    // A mount that cannot be seen at all is no missing one.
    case.write("binding.yaml", &case.binding().replace(&format!("mount: {id}/jwt"), &format!("mount: {id}/none")));
    let planned = run(&["plan", "-f", &folder], &environment).await;
    planned.ends_with(1).says(&[
        &format!("! AuthMount {id}/none: "),
        "permission denied",
        &format!("! Role {id}/none/backend"),
    ]);
}

#[tokio::test]
async fn a_list_on_standard_input_is_applied_like_documents() {
    let case = Case::new().await;
    let item = |text: String| format!("- {}\n", text.trim_end().replace('\n', "\n  "));
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{}{}", item(case.binding()), item(case.secret()));
    let environment = [("VAULT_ADDR", case.vault.address()), ("VAULT_TOKEN", case.vault.root_token())];

    let applied = run_with_input(&["apply", "-f", "-"], &environment, &list).await;

    applied.ends_with(0).says(&["Applied: 5 created."]);
    let bad = list.replace("userClaim", "userClam");
    let refused = run_with_input(&["apply", "-f", "-"], &environment, &bad).await;
    refused.ends_with(1).says(&["standard input:", "items[0].spec.roles[0].userClam: unknown field"]);
}
