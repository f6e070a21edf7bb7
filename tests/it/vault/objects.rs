//! Auth mounts, configs, roles and policies: written and read back, and read in one form however they were written.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use vault_jwt_operator::api::names::MountPath;
use vault_jwt_operator::vault::{CONFIG_FIELDS, Fields, Kind, ROLE_FIELDS, VaultError};

use super::limits::{json as answer, stand_in};
use super::{error, jwt_mount, mount, policy, role, root, shared};
use crate::lab::{Issuer, unique};

const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\n\
                   q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==\n-----END PUBLIC KEY-----";

fn empty(table: &'static [(&'static str, Kind)]) -> Fields {
    table.iter().map(|&(name, kind)| (name, kind.empty())).collect()
}

fn with(mut fields: Fields, changes: &[(&'static str, Value)]) -> Fields {
    fields.extend(changes.iter().cloned());
    fields
}

/// The least that Vault takes, in canonical form.
fn least_role() -> Fields {
    with(empty(ROLE_FIELDS), &[("user_claim", json!("sub")), ("bound_audiences", json!(["vault"]))])
}

/// Writes a role as an admin would, and reads it through the room: the fields that differ from the empty ones.
async fn read_of(written: Value) -> Fields {
    let mount = jwt_mount().await;
    shared().await.api().write(&format!("auth/{mount}/role/r"), &written).await;
    root().await.read_role(&mount, &role("r")).await.unwrap().expect("the role")
}

#[tokio::test]
async fn a_jwt_mount_is_enabled_once_and_listed() {
    let (vault, mount) = (root().await, jwt_mount().await);
    let info = vault.auth_mounts().await.unwrap().remove(mount.as_str()).expect("the mount");
    assert_eq!(info.type_, "jwt");
    assert!(info.accessor.starts_with("auth_jwt_"));
    let refused = error(vault.enable_jwt(&mount).await);
    assert!(
        matches!(&refused, VaultError::Rejected { message, .. } if message.starts_with("path is already in use at"))
    );
    let nested = MountPath::new(&format!("{mount}/below")).unwrap();
    assert!(matches!(error(vault.enable_jwt(&nested).await), VaultError::Rejected { .. }));
}

#[tokio::test]
async fn a_role_reads_as_it_was_written_and_every_field_can_be_emptied() {
    let (vault, mount, name) = (root().await, jwt_mount().await, role("r"));
    assert_eq!(vault.read_role(&mount, &name).await.unwrap(), None);
    let full = with(
        least_role(),
        &[
            ("bound_subject", json!("s")),
            ("bound_claims", json!({"/a/b": ["x", 1, true], "groups": ["team-a", "team-b"]})),
            ("bound_claims_type", json!("string")),
            ("user_claim_json_pointer", json!(true)),
            ("groups_claim", json!("groups")),
            ("claim_mappings", json!({"username": "name"})),
            ("expiration_leeway", json!(-1)),
            ("not_before_leeway", json!(60)),
            ("clock_skew_leeway", json!(30)),
            ("token_ttl", json!(60)),
            ("token_max_ttl", json!(3600)),
            ("token_explicit_max_ttl", json!(7200)),
            ("token_policies", json!(["a", "b"])),
            ("token_bound_cidrs", json!(["10.0.0.1", "10.1.2.3/8", "::1", "fd00::/8"])),
            ("token_no_default_policy", json!(true)),
            ("token_num_uses", json!(3)),
            ("token_type", json!("service")),
            ("max_age", json!(5)),
            ("oidc_scopes", json!(["x"])),
            ("allowed_redirect_uris", json!(["http://h/"])),
            ("verbose_oidc_logging", json!(true)),
        ],
    );
    for fields in [full, with(least_role(), &[("token_period", json!(60))]), least_role()] {
        vault.write_role(&mount, &name, &fields).await.unwrap();
        assert_eq!(vault.read_role(&mount, &name).await.unwrap(), Some(fields));
    }
    vault.delete_role(&mount, &name).await.unwrap();
    vault.delete_role(&mount, &name).await.unwrap();
    assert_eq!(vault.read_role(&mount, &name).await.unwrap(), None);
}

#[tokio::test]
async fn a_role_has_one_form_however_it_was_written() {
    let minimal = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault"});
    assert_eq!(read_of(minimal).await, least_role(), "what was never set reads as empty");
    let odd = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault , vault",
        "bound_claims": {"env": "prod", "level": 3}, "bound_claims_type": "string", "claim_mappings": ["a=x", "n=5"],
        "token_ttl": "1m", "token_max_ttl": "3600", "expiration_leeway": "-1s", "clock_skew_leeway": "1500ms",
        "not_before_leeway": "1d", "token_policies": "b,a, b", "token_bound_cidrs": "10.0.0.1/32,::1/128,10.1.2.3/8",
        "token_num_uses": "2", "token_type": "", "verbose_oidc_logging": "true", "allowed_redirect_uris": null,
        "oidc_scopes": [],
    });
    let expected = with(
        least_role(),
        &[
            ("bound_claims", json!({"env": ["prod"], "level": [3]})),
            ("claim_mappings", json!({"a": "x", "n": "5"})),
            ("token_ttl", json!(60)),
            ("token_max_ttl", json!(3600)),
            ("expiration_leeway", json!(-1)),
            ("clock_skew_leeway", json!(1)),
            ("not_before_leeway", json!(86400)),
            ("token_policies", json!(["a", "b"])),
            ("token_bound_cidrs", json!(["10.0.0.1", "10.1.2.3/8", "::1"])),
            ("token_num_uses", json!(2)),
            ("verbose_oidc_logging", json!(true)),
        ],
    );
    assert_eq!(read_of(odd).await, expected);
}

#[tokio::test]
async fn legacy_names_show_until_the_role_is_written_with_the_new_ones() {
    let (vault, mount, name) = (root().await, jwt_mount().await, role("r"));
    let legacy = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "policies": ["B", "a"], "ttl": 60,
        "max_ttl": "1h", "num_uses": 2, "bound_cidrs": ["10.0.0.1/32"],
    });
    shared().await.api().write(&format!("auth/{mount}/role/r"), &legacy).await;
    let read = vault.read_role(&mount, &name).await.unwrap().unwrap();
    assert_eq!(read["policies"], json!(["a", "b"]));
    assert_eq!(read["ttl"], json!(60));
    assert_eq!(read["max_ttl"], json!(3600));
    assert_eq!(read["num_uses"], json!(2));
    assert_eq!(read["bound_cidrs"], json!(["10.0.0.1"]));
    assert!(!read.contains_key("period"), "it was not written");
    for fields in [least_role(), with(least_role(), &[("token_policies", json!(["a", "b"])), ("token_ttl", json!(60))])]
    {
        vault.write_role(&mount, &name, &fields).await.unwrap();
        assert_eq!(vault.read_role(&mount, &name).await.unwrap(), Some(fields));
    }
}

#[tokio::test]
async fn a_role_of_type_oidc_differs() {
    let oidc = json!({"user_claim": "sub", "allowed_redirect_uris": ["http://h/cb"], "bound_audiences": ["vault"]});
    let read = read_of(oidc).await;
    assert_eq!((&read["role_type"], &read["allowed_redirect_uris"]), (&json!("oidc"), &json!(["http://h/cb"])));
}

#[tokio::test]
async fn what_vault_refuses_of_a_role_is_said() {
    let (vault, mount) = (root().await, jwt_mount().await);
    for (change, text) in [
        (("token_type", json!("default-service")), "invalid 'token_type' value"),
        (("token_ttl", json!(7200)), "'token_ttl' cannot be greater than 'token_max_ttl'"),
        (("bound_claims_type", json!("regex")), "invalid 'bound_claims_type'"),
        (("bound_audiences", json!([])), "must have at least one bound constraint"),
        (("user_claim", json!("")), "a user claim must be defined on the role"),
        (("claim_mappings", json!({"a": "role"})), "metadata key \"role\" is reserved"),
        (("token_max_ttl", json!("abc-secret")), "the value of token_max_ttl"),
        (("token_period", json!(3_600_000)), "'period' of"),
        (("token_bound_cidrs", json!(["nonsense"])), "status 400"),
    ] {
        let fields = with(with(least_role(), &[("token_max_ttl", json!(3600))]), &[change]);
        let refused = error(vault.write_role(&mount, &role("r"), &fields).await);
        let VaultError::Rejected { message, .. } = &refused else { panic!("{refused:?}") };
        assert!(message.contains(text) && !message.contains("abc-secret"), "{message}");
    }
}

#[tokio::test]
async fn a_config_reads_as_it_was_written_and_a_write_replaces_all_of_it() {
    let (vault, mount) = (root().await, jwt_mount().await);
    let issuer = Issuer::start().unwrap();
    let namespace_in_state = ("namespace_in_state", json!(true));
    assert_eq!(vault.read_config(&mount).await.unwrap(), None, "never written");
    let by_url = with(
        empty(CONFIG_FIELDS),
        &[
            namespace_in_state.clone(),
            ("jwks_url", json!(issuer.jwks_url())),
            ("bound_issuer", json!("http://localhost:7007 ")),
            ("default_role", json!("r")),
            ("jwt_supported_algs", json!(["ES256", "RS256"])),
        ],
    );
    let by_keys = with(
        empty(CONFIG_FIELDS),
        &[namespace_in_state.clone(), ("jwt_validation_pubkeys", json!([KEY])), ("default_role", json!("r"))],
    );
    let by_pairs = with(
        empty(CONFIG_FIELDS),
        &[namespace_in_state, ("jwks_pairs", json!([{"jwks_url": issuer.jwks_url(), "jwks_ca_pem": ""}]))],
    );
    for fields in [by_url, by_pairs, by_keys] {
        vault.write_config(&mount, &fields).await.unwrap();
        assert_eq!(vault.read_config(&mount).await.unwrap(), Some(fields));
    }
}

#[tokio::test]
async fn a_config_has_one_form_however_it_was_written() {
    let (vault, mount) = (root().await, jwt_mount().await);
    let odd =
        json!({"jwt_validation_pubkeys": format!("{KEY}\n"), "default_role": "R", "jwt_supported_algs": "RS256,ES256"});
    shared().await.api().write(&format!("auth/{mount}/config"), &odd).await;
    let read = vault.read_config(&mount).await.unwrap().unwrap();
    assert_eq!(read["jwt_validation_pubkeys"], json!([KEY]));
    assert_eq!(read["default_role"], json!("r"));
    assert_eq!(read["jwt_supported_algs"], json!(["ES256", "RS256"]));
    assert_eq!(read["provider_config"], json!({}));
    let names: BTreeSet<_> = read.keys().copied().collect();
    let returned = shared().await.api().read(&format!("auth/{mount}/config")).await;
    let returned: BTreeSet<_> = returned.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, returned, "each field that Vault returns is compared");
}

#[tokio::test]
async fn a_config_whose_keys_cannot_be_fetched_waits_for_the_issuer() {
    let (vault, mount) = (root().await, jwt_mount().await);
    let nobody = format!("http://127.0.0.1:{}/jwks", crate::lab::process::free_port().unwrap());
    let config = |changes: &[(&'static str, Value)]| with(empty(CONFIG_FIELDS), changes);
    for fields in [config(&[("jwks_url", json!(nobody))]), config(&[("oidc_discovery_url", json!(nobody))])] {
        let refused = error(vault.write_config(&mount, &fields).await);
        assert!(matches!(refused, VaultError::IssuerUnreachable { .. }), "{refused:?}");
        assert!(refused.is_transient());
    }
    let bad_ca = config(&[("jwks_url", json!(nobody)), ("jwks_ca_pem", json!("no certificate"))]);
    assert!(matches!(error(vault.write_config(&mount, &bad_ca).await), VaultError::Rejected { .. }));
    let none = error(vault.write_config(&mount, &config(&[])).await);
    assert!(matches!(&none, VaultError::Rejected { message, .. } if message.starts_with("exactly one of")), "{none:?}");
    assert_eq!(vault.read_config(&mount).await.unwrap(), None, "nothing was stored");
}

#[tokio::test]
async fn a_mount_that_is_missing_or_of_another_type_is_not_an_absent_object() {
    let vault = root().await;
    let userpass = mount(&unique("userpass"));
    shared().await.api().enable(&format!("auth/{userpass}"), "userpass").await;
    for mount in [mount(&unique("nowhere")), userpass] {
        for refused in [
            vault.read_role(&mount, &role("r")).await.err(),
            vault.read_config(&mount).await.err(),
            vault.write_role(&mount, &role("r"), &least_role()).await.err(),
            vault.delete_role(&mount, &role("r")).await.err(),
            vault.write_config(&mount, &empty(CONFIG_FIELDS)).await.err(),
        ] {
            assert!(matches!(refused, Some(VaultError::NoMount { .. })), "{mount}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn a_policy_is_kept_to_the_letter() {
    let (vault, name) = (root().await, policy(&unique("p")));
    assert_eq!(vault.read_policy(&name).await.unwrap(), None);
    for text in ["# marker\r\npath \"a/*\" {\n\tcapabilities = [\"read\"]\n}\n\n", "# only a comment, é\n"] {
        vault.write_policy(&name, text).await.unwrap();
        assert_eq!(vault.read_policy(&name).await.unwrap().as_deref(), Some(text));
    }
    vault.delete_policy(&name).await.unwrap();
    vault.delete_policy(&name).await.unwrap();
    assert_eq!(vault.read_policy(&name).await.unwrap(), None);
}

#[tokio::test]
async fn a_policy_that_is_none_is_refused_with_vaults_reason() {
    let (vault, name) = (root().await, policy(&unique("p")));
    for text in
        ["path \"x\" { capabilities = [\"reed\"] }", "path \"x\" {", "path \"x\" { capability = [\"read\"] }", ""]
    {
        let refused = error(vault.write_policy(&name, text).await);
        let VaultError::Rejected { message, .. } = &refused else { panic!("{refused:?}") };
        assert!(message.contains("policy"), "{message}");
    }
}

#[tokio::test]
async fn a_config_write_that_its_caller_left_goes_on_and_is_joined() {
    let (vault, mount) = (root().await, jwt_mount().await);
    let address = stand_in(async |_| {
        tokio::time::sleep(Duration::from_millis(500)).await;
        answer(200, r#"{"keys": []}"#)
    });
    let slow = format!("{}/jwks", address.await);
    let fields = with(empty(CONFIG_FIELDS), &[("jwks_url", Value::from(slow)), ("namespace_in_state", true.into())]);
    let mark = shared().await.mark();
    let patience = Duration::from_millis(50);
    assert!(tokio::time::timeout(patience, vault.write_config(&mount, &fields)).await.is_err(), "left too early");
    vault.write_config(&mount, &fields).await.unwrap();
    assert_eq!(vault.read_config(&mount).await.unwrap(), Some(fields));
    let path = format!("auth/{mount}/config");
    let writes = shared().await.requests_since(mark).iter().filter(|r| r.path == path && r.is_write()).count();
    assert_eq!(writes, 1);
}

#[tokio::test]
async fn the_newest_of_several_config_writes_is_the_one_that_stays() {
    let (vault, mount) = (root().await, jwt_mount().await);
    let address = stand_in(async |_| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        answer(200, r#"{"keys": []}"#)
    });
    let slow = with(empty(CONFIG_FIELDS), &[("jwks_url", Value::from(format!("{}/jwks", address.await)))]);
    let keys = |role: &str| {
        with(empty(CONFIG_FIELDS), &[("jwt_validation_pubkeys", json!([KEY])), ("default_role", json!(role))])
    };
    let (older, newest) = (keys("older"), keys("newest"));
    let mark = shared().await.mark();
    let patience = Duration::from_millis(50);
    assert!(tokio::time::timeout(patience, vault.write_config(&mount, &slow)).await.is_err(), "it is on its way");
    let (second, third) = tokio::join!(vault.write_config(&mount, &older), vault.write_config(&mount, &newest));
    assert!(matches!(error(second), VaultError::Superseded { .. }));
    third.unwrap();
    let read = vault.read_config(&mount).await.unwrap().unwrap();
    assert_eq!((&read["default_role"], &read["jwks_url"]), (&json!("newest"), &json!("")));
    let path = format!("auth/{mount}/config");
    let writes = shared().await.requests_since(mark).iter().filter(|r| r.path == path && r.is_write()).count();
    assert_eq!(writes, 2, "what was superseded is not sent");
}
