//! Roles: the fields in Vault's own form, and each mistake at its field.

use super::*;

fn role_fields(desired: &Desired, index: usize) -> Fields {
    let mut roles = desired.objects.iter().filter_map(|object| match object {
        Object::Role(role) => Some(role.fields.clone()),
        _ => None,
    });
    roles.nth(index).unwrap_or_else(|| panic!("no role: {:#?}", told(desired)))
}

/// The fields of the example's first role with one change.
fn first_with(field: &str, value: Value) -> Fields {
    role_fields(&changed(&[(&format!("/roles/0/{field}"), value)]), 0)
}

#[test]
fn all_fields_of_a_jwt_role_are_there_empty_ones_too() {
    let expected = json!({
        "allowed_redirect_uris": [],
        "bound_audiences": ["backstage"],
        "bound_claims": {},
        "bound_claims_type": "string",
        "bound_subject": "backstage-backend",
        "claim_mappings": {},
        "clock_skew_leeway": 60,
        "expiration_leeway": 60,
        "groups_claim": "",
        "max_age": 0,
        "not_before_leeway": 60,
        "oidc_scopes": [],
        "role_type": "jwt",
        "token_bound_cidrs": [],
        "token_explicit_max_ttl": 0,
        "token_max_ttl": 86400,
        "token_no_default_policy": false,
        "token_num_uses": 0,
        "token_period": 0,
        "token_policies": ["backend-service"],
        "token_ttl": 3600,
        "token_type": "default",
        "user_claim": "sub",
        "user_claim_json_pointer": false,
        "verbose_oidc_logging": false,
    });
    assert_eq!(serde_json::to_value(role_fields(&changed(&[]), 0)).unwrap(), expected);
}

#[test]
fn claims_and_mappings_become_maps() {
    let fields = role_fields(&changed(&[]), 1);
    assert_eq!(fields["bound_claims"], json!({"groups": ["team-a", "team-b"]}));
    assert_eq!(fields["claim_mappings"], json!({"username": "username"}));
    assert_eq!(fields["groups_claim"], json!("groups"));
    assert_eq!(fields["clock_skew_leeway"], json!(0));
}

#[test]
fn values_take_the_form_in_which_vault_reads_them_back() {
    for (field, written, vaults, read) in [
        ("boundAudiences", json!(["b", "a", "b"]), "bound_audiences", json!(["a", "b"])),
        (
            "tokenPolicies",
            json!(["backstage-z", "backend-service", "backstage-z"]),
            "token_policies",
            json!(["backend-service", "backstage-z"]),
        ),
        ("clockSkewLeeway", json!("Off"), "clock_skew_leeway", json!(-1)),
        ("clockSkewLeeway", json!("Default"), "clock_skew_leeway", json!(0)),
        ("tokenTtl", json!("1h30m"), "token_ttl", json!(5400)),
        ("tokenType", json!("Batch"), "token_type", json!("batch")),
        (
            "boundClaims",
            json!([{"claim": "/n", "values": [1, true, "x"]}]),
            "bound_claims",
            json!({"/n": [1, true, "x"]}),
        ),
        (
            "tokenBoundCidrs",
            // Each as the real Vault 1.21.1 read it back.
            json!([
                "2001:DB8::1/64",
                "10.0.0.1/32",
                "10.1.2.3/8",
                "::1/128",
                "0.0.0.0/0",
                "::/0",
                "2001:0db8:0:0:0:0:0:1",
                "::ffff:10.0.0.9",
                "::ffff:11.0.0.0/104",
                "1:0:0:2:0:0:0:3",
                "64:ff9b::1.2.3.4",
                "10.0.0.1",
            ]),
            "token_bound_cidrs",
            json!([
                "0.0.0.0/0",
                "10.0.0.1",
                "10.0.0.9",
                "10.1.2.3/8",
                "11.0.0.0/8",
                "1:0:0:2::3",
                "2001:db8::1",
                "2001:db8::1/64",
                "64:ff9b::102:304",
                "::/0",
                "::1",
            ]),
        ),
    ] {
        assert_eq!(first_with(field, written)[vaults], read, "{field}");
    }
}

#[test]
fn each_mistake_is_named_at_its_field() {
    let long = "x".repeat(1025);
    for (field, value, at, says) in [
        ("name", json!("Backstage"), "name", "must be lower case"),
        ("name", json!("backstage-../x"), "name", "must consist of"),
        ("name", json!("backstage-x "), "name", "must consist of"),
        ("name", json!("backstage-user"), "", "twice"),
        ("boundAudiences", json!([]), "boundAudiences", "at least one audience"),
        ("boundAudiences", json!([" a"]), "boundAudiences[0]", "space"),
        ("boundAudiences", json!(["a", ""]), "boundAudiences[1]", "must not be empty"),
        ("boundSubject", json!(long), "boundSubject", "at most 1024"),
        ("userClaim", json!(""), "userClaim", "must not be empty"),
        ("userClaimJsonPointer", json!(true), "userClaim", "must begin with '/'"),
        ("groupsClaim", json!("a\tb"), "groupsClaim", "control characters"),
        ("boundClaims", json!([{"claim": "n", "values": [1.5]}]), "boundClaims[0].values[0]", "could never match"),
        (
            "boundClaims",
            json!([{"claim": "n", "values": [null]}]),
            "boundClaims[0].values[0]",
            "a string, a whole number",
        ),
        ("boundClaims", json!([{"claim": "n", "values": []}]), "boundClaims[0].values", "at least one value"),
        (
            "boundClaims",
            json!([{"claim": "n", "values": [1]}, {"claim": "n", "values": [2]}]),
            "boundClaims[1].claim",
            "twice",
        ),
        (
            "claimMappings",
            json!([{"claim": "a", "metadataKey": "role"}]),
            "claimMappings[0].metadataKey",
            "must not be 'role'",
        ),
        (
            "claimMappings",
            json!([{"claim": "a", "metadataKey": "x"}, {"claim": "b", "metadataKey": "x"}]),
            "claimMappings[1].metadataKey",
            "two claims to 'x'",
        ),
        (
            "claimMappings",
            json!([{"claim": "a", "metadataKey": "x"}, {"claim": "a", "metadataKey": "y"}]),
            "claimMappings[1].claim",
            "claim 'a' twice",
        ),
        ("tokenPolicies", json!(["root"]), "tokenPolicies[0]", "must not be 'root'"),
        ("tokenPolicies", json!(["Root"]), "tokenPolicies[0]", "must be lower case"),
        ("tokenPolicies", json!(["root "]), "tokenPolicies[0]", "must consist of"),
        ("tokenPolicies", json!(["rооt"]), "tokenPolicies[0]", "must consist of"),
        ("tokenMaxTtl", json!("59m"), "tokenTtl", "less than or equal to tokenMaxTtl"),
        ("tokenTtl", json!("500ms"), "tokenTtl", "whole number of seconds"),
        ("tokenTtl", json!("1d"), "tokenTtl", "must be a duration"),
        ("clockSkewLeeway", json!("500ms"), "clockSkewLeeway", "0 means its default of 60 s"),
        ("expirationLeeway", json!("1500ms"), "expirationLeeway", "default of 150 s"),
        ("notBeforeLeeway", json!("0s"), "notBeforeLeeway", "write 'Default' for that, or 'Off'"),
        ("notBeforeLeeway", json!("-1"), "notBeforeLeeway", "'Off'"),
        ("tokenNumUses", json!(-1), "tokenNumUses", "greater than or equal to 0"),
        ("tokenBoundCidrs", json!(["10.0.0.0/33"]), "tokenBoundCidrs[0]", "an IP address or a network"),
        ("tokenBoundCidrs", json!(["010.0.0.1"]), "tokenBoundCidrs[0]", "an IP address or a network"),
        ("tokenBoundCidrs", json!(["example.org"]), "tokenBoundCidrs[0]", "an IP address or a network"),
    ] {
        let desired = changed(&[(&format!("/roles/0/{field}"), value.clone())]);
        let field = match at {
            "" => "spec.roles[1].name".to_owned(),
            at => format!("spec.roles[0].{at}"),
        };
        assert_one_problem(&desired, ProblemKind::Invalid, &field, says);
    }
}

#[test]
fn glob_and_batch_have_rules_of_their_own() {
    let glob = [("/roles/1/boundClaimsType", json!("Glob")), ("/roles/1/boundClaims/0/values", json!(["team-*", 1]))];
    assert_one_problem(
        &changed(&glob),
        ProblemKind::Invalid,
        "spec.roles[1].boundClaims[0].values[1]",
        "must be a string",
    );
    for (field, value) in [("tokenPeriod", json!("1h")), ("tokenNumUses", json!(1))] {
        let batch = [("/roles/0/tokenType", json!("Batch")), (&format!("/roles/0/{field}") as &str, value)];
        assert_one_problem(
            &changed(&batch),
            ProblemKind::Invalid,
            &format!("spec.roles[0].{field}"),
            "tokenType is Batch",
        );
    }
}

#[test]
fn all_problems_of_a_role_are_told_and_the_other_role_goes_on() {
    let desired = changed(&[
        ("/roles/0/userClaim", json!("")),
        ("/roles/0/tokenTtl", json!("soon")),
        ("/roles/0/tokenPolicies", json!(["root", "admin"])),
    ]);
    let fields: Vec<_> = desired.problems.iter().map(|problem| problem.field.as_str()).collect();
    let expected = [
        "spec.roles[0].tokenPolicies[0]",
        "spec.roles[0].userClaim",
        "spec.roles[0].tokenTtl",
        "spec.roles[0].tokenPolicies[1]",
    ];
    assert_eq!(fields, expected);
    assert!(ids(&desired).contains(&"Role jwt/backstage-user".to_owned()));
}

#[test]
fn of_two_roles_with_one_name_neither_is_written() {
    let desired = changed(&[("/roles/0/name", json!("backstage-user"))]);
    assert!(!ids(&desired).iter().any(|id| id.starts_with("Role")));
}
