//! Bad input in roles: what Vault would refuse when the role is written, and what could never work.

use serde_json::{Value, json};

use super::Case;

/// A role that is right but for the changes.
fn role(changes: &Value) -> Value {
    let mut role = json!({"name": "backstage-x", "boundAudiences": ["vault"], "userClaim": "sub"});
    json_patch::merge(&mut role, changes);
    role
}

/// How long tokens live and how patiently their times are compared. To Vault a leeway of 0 is its default.
fn lifetimes() -> Vec<Case> {
    let leeway = "write 'Default' for that, or 'Off' for none";
    vec![
        ("/spec/roles/0/tokenTtl", json!("1500ms"), "spec.roles[0].tokenTtl", "must be a whole number of seconds"),
        ("/spec/roles/0/tokenTtl", json!("0.5s"), "spec.roles[0].tokenTtl", "must be a whole number of seconds"),
        (
            "/spec/roles/0/tokenTtl",
            json!("25h"),
            "spec.roles[0].tokenTtl",
            "must be less than or equal to `tokenMaxTtl`",
        ),
        (
            "/spec/roles/0/tokenExplicitMaxTtl",
            json!("30m"),
            "spec.roles[0].tokenTtl",
            "must be less than or equal to `tokenExplicitMaxTtl`",
        ),
        ("/spec/roles/0/clockSkewLeeway", json!("500ms"), "spec.roles[0].clockSkewLeeway", leeway),
        ("/spec/roles/0/clockSkewLeeway", json!("0s"), "spec.roles[0].clockSkewLeeway", "its default of 60 s"),
        ("/spec/roles/0/clockSkewLeeway", json!("1.5s"), "spec.roles[0].clockSkewLeeway", leeway),
        ("/spec/roles/0/expirationLeeway", json!("0s"), "spec.roles[0].expirationLeeway", "its default of 150 s"),
        (
            "/spec/roles/0/notBeforeLeeway",
            json!("off"),
            "spec.roles[0].notBeforeLeeway",
            "'Default' (Vault's own 150 s) or 'Off'",
        ),
    ]
}

fn bindings() -> Vec<Case> {
    vec![
        ("/spec/roles/1", role(&json!({"name": "backstage-backend"})), "spec.roles[1]", "Duplicate value"),
        ("/spec/roles/0/boundAudiences", json!([]), "spec.roles[0].boundAudiences", "should have at least 1 items"),
        ("/spec/roles/0/boundAudiences", json!(["a", "a"]), "spec.roles[0].boundAudiences[1]", "Duplicate value"),
        (
            "/spec/roles/0/boundAudiences",
            json!(["a "]),
            "spec.roles[0].boundAudiences[0]",
            "must not begin or end with a space",
        ),
        ("/spec/roles/0", json!({"name": "a", "userClaim": "sub"}), "spec.roles[0].boundAudiences", "Required value"),
        ("/spec/roles/0", json!({"name": "a", "boundAudiences": ["a"]}), "spec.roles[0].userClaim", "Required value"),
        ("/spec/roles/0/userClaimJsonPointer", json!(true), "spec.roles[0].userClaim", "must begin with '/' when"),
        ("/spec/roles/0/tokenPolicies", json!(["root"]), "spec.roles[0].tokenPolicies[0]", "must not be 'root'"),
        ("/spec/roles/0/tokenPolicies", json!(["Root"]), "spec.roles[0].tokenPolicies[0]", "must not be 'root'"),
        ("/spec/roles/0/tokenPolicies", json!([" root\t"]), "spec.roles[0].tokenPolicies[0]", "must not be 'root'"),
        (
            "/spec/roles/0/tokenPolicies",
            json!(["ｒｏｏｔ"]),
            "spec.roles[0].tokenPolicies[0]",
            "must consist of lower-case",
        ),
        (
            "/spec/roles/0/tokenBoundCidrs",
            json!(["10.0.0.0/33"]),
            "spec.roles[0].tokenBoundCidrs[0]",
            "must be an IP address",
        ),
        ("/spec/roles/0/tokenNumUses", json!(-1), "spec.roles[0].tokenNumUses", "greater than or equal to 0"),
        (
            "/spec/roles/0",
            role(&json!({"tokenType": "Batch", "tokenPeriod": "1h"})),
            "spec.roles[0].tokenPeriod",
            "may not be specified when `tokenType` is 'Batch'",
        ),
        (
            "/spec/roles/0",
            role(&json!({"tokenType": "Batch", "tokenNumUses": 1})),
            "spec.roles[0].tokenNumUses",
            "must be 0 when `tokenType` is 'Batch'",
        ),
    ]
}

fn claims() -> Vec<Case> {
    vec![
        (
            "/spec/roles/0",
            role(&json!({"claimMappings": [{"claim": "a", "metadataKey": "role"}]})),
            "spec.roles[0].claimMappings[0].metadataKey",
            "must not be 'role'",
        ),
        (
            "/spec/roles/0",
            role(&json!({"claimMappings": [{"claim": "a", "metadataKey": "x"}, {"claim": "b", "metadataKey": "x"}]})),
            "spec.roles[0].claimMappings",
            "must not map two claims to one `metadataKey`",
        ),
        (
            "/spec/roles/0",
            role(&json!({"boundClaims": [{"claim": "a", "values": [1]}, {"claim": "a", "values": [2]}]})),
            "spec.roles[0].boundClaims[1]",
            "Duplicate value",
        ),
        (
            "/spec/roles/0",
            role(&json!({"boundClaims": [{"claim": "a", "values": []}]})),
            "spec.roles[0].boundClaims[0].values",
            "should have at least 1 items",
        ),
        (
            "/spec/roles/0",
            role(&json!({"boundClaims": [{"claim": "a", "values": ["x", 1.5]}]})),
            "spec.roles[0].boundClaims[0].values[1]",
            "should be a multiple of 1",
        ),
        (
            "/spec/roles/0",
            role(&json!({"boundClaims": [{"claim": "a", "values": [{"b": 1}]}]})),
            "spec.roles[0].boundClaims[0].values[0]",
            "must have at most 0 items",
        ),
        (
            "/spec/roles/0",
            role(&json!({"boundClaims": [{"claim": "a", "values": [{}]}]})),
            "spec.roles[0].boundClaims[0].values[0]",
            "at least 1 properties",
        ),
        (
            "/spec/roles/0",
            role(&json!({"boundClaims": [{"claim": "a", "values": [["b"]]}]})),
            "spec.roles[0].boundClaims[0].values[0]",
            "must have at most 0 items",
        ),
        (
            "/spec/roles/0",
            role(&json!({"boundClaimsType": "Glob", "boundClaims": [{"claim": "a", "values": ["a*", 1]}]})),
            "spec.roles[0].boundClaims[0].values[1]",
            "must validate at least one schema",
        ),
        (
            "/spec/roles/0",
            role(&json!({"boundClaimsType": "Glob", "boundClaims": [{"claim": "a", "values": [true]}]})),
            "spec.roles[0].boundClaims[0].values[0]",
            "must validate at least one schema",
        ),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    [lifetimes(), bindings(), claims()].concat()
}
