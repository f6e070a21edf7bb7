//! Grants: each unit by one grant alone, and denials that name the list to extend and nothing else.

use super::*;

/// The example under its grant with one change: the one problem that follows.
#[track_caller]
fn denied(pointer: &str, value: Value, field: &str, says: &str) {
    let grants = with(example_grants(), &[(pointer, value)]);
    let desired = judge(example(), &example_references(), &grants);
    assert_one_problem(&desired, ProblemKind::NotGranted, field, says);
}

#[test]
fn what_is_not_listed_is_denied_and_the_list_is_named() {
    for (pointer, value, field, says) in [
        ("/0/authMounts/0/enable", json!(false), "spec.auth.enable", "'authMounts[].enable'"),
        ("/0/authMounts/0/manageConfig", json!(false), "spec.auth.config", "'authMounts[].manageConfig'"),
        ("/0/issuerHosts", json!([]), "spec.auth.config.jwksUrl", "the host 'backstage.backstage.svc:7007'"),
        ("/0/allowHttp", json!(false), "spec.auth.config.jwksUrl", "'allowHttp'"),
        ("/0/roles", json!(["backstage-b*"]), "spec.roles[1].name", "not granted the role 'backstage-user': ask"),
        ("/0/policies", json!(["backstage-*"]), "spec.policies[0].name", "'policies'"),
        ("/0/attachablePolicies", json!(["backstage-*"]), "spec.roles[0].tokenPolicies[0]", "'attachablePolicies'"),
        ("/0/maxTokenTtl", json!("23h"), "spec.roles[0].tokenMaxTtl", "'maxTokenTtl'"),
        ("/0/kv/0/paths", json!(["terraform"]), "spec.kv[0].path", "'kv'"),
        ("/0/kv/0/mount", json!("backstage"), "spec.kv[0].path", "'kv'"),
        ("/0/policyRules/0/capabilities", json!(["read"]), "spec.policies[1].rules[0]", "with [read, list]"),
    ] {
        denied(pointer, value, field, says);
    }
}

#[test]
fn raw_text_needs_its_own_grant() {
    let policy = json!({"name": "backend-service", "hcl": "path \"x\" {}"});
    let desired = changed(&[("/policies/0", policy)]);
    assert_one_problem(&desired, ProblemKind::NotGranted, "spec.policies[0].hcl", "'rawPolicies'");
}

#[test]
fn a_life_of_tokens_is_bounded_by_any_of_three_and_exceeded_by_none() {
    for (field, value, says) in [
        ("tokenMaxTtl", json!(null), "tokens without a bound of their own"),
        ("tokenMaxTtl", json!("0s"), "tokens without a bound of their own"),
        ("tokenMaxTtl", json!("25h"), "tokens that live for 90000 s"),
        ("tokenPeriod", json!("25h"), "tokens that live for 90000 s"),
        ("tokenExplicitMaxTtl", json!("25h"), "'maxTokenTtl'"),
    ] {
        let desired = changed(&[(&format!("/roles/1/{field}"), value)]);
        assert_one_problem(&desired, ProblemKind::NotGranted, &format!("spec.roles[1].{field}"), says);
    }
    for other in ["tokenPeriod", "tokenExplicitMaxTtl"] {
        let changes = [("/roles/1/tokenMaxTtl", json!(null)), (&format!("/roles/1/{other}") as &str, json!("24h"))];
        assert_eq!(told(&changed(&changes)), Vec::<String>::new());
    }
}

#[test]
fn two_halves_in_two_grants_allow_nothing() {
    let one = example_grants()[0].clone();
    let without = |list: &str| with(json!([one]), &[(&format!("/0/{list}"), json!([]))])[0].clone();
    for (lists, kind) in [
        (["roles", "attachablePolicies"], "Role"),
        (["policies", "policyRules"], "Policy"),
        (["authMounts", "issuerHosts"], "JwtConfig"),
        (["authMounts", "roles"], "Role"),
    ] {
        let grants = json!([without(lists[0]), without(lists[1])]);
        let desired = judge(example(), &example_references(), &grants);
        assert!(!ids(&desired).iter().any(|id| id.starts_with(kind)), "{lists:?} {:?}", ids(&desired));
        assert!(desired.problems.iter().all(|problem| problem.kind == ProblemKind::NotGranted));
    }
}

#[test]
fn objects_may_be_allowed_by_different_grants() {
    let one = example_grants()[0].clone();
    let roles = with(json!([one]), &[("/0/policies", json!([])), ("/0/kv", json!([]))])[0].clone();
    let rest = with(json!([one]), &[("/0/authMounts", json!([]))])[0].clone();
    assert_eq!(told(&judge(example(), &example_references(), &json!([roles, rest]))), Vec::<String>::new());
}

#[test]
fn the_denial_speaks_of_the_grant_that_comes_nearest_and_of_no_other() {
    let other = json!({
        "namespaces": {"names": ["elsewhere"]}, "authMounts": [{"path": "secret-mount"}], "roles": ["secret-role"],
        "issuerHosts": ["secret-host"], "policies": ["secret-policy"],
    });
    let mount_only = json!({"namespaces": {"names": ["backstage"]}, "authMounts": [{"path": "jwt"}]});
    let role_only = json!({"namespaces": {"names": ["backstage"]}, "roles": ["*"], "attachablePolicies": ["*"]});
    let desired = judge(example(), &example_references(), &json!([role_only, other, mount_only]));
    let told = told(&desired);
    assert!(told.iter().any(|line| line.starts_with("NotGranted spec.roles[0].name")), "{told:#?}");
    assert!(!told.iter().any(|line| line.contains("secret") || line.contains("elsewhere")), "{told:#?}");
}

#[test]
fn a_grant_selects_by_name_or_by_all_labels_and_an_empty_one_selects_nothing() {
    let labels = BTreeMap::from([("team".to_owned(), "a".to_owned()), ("tier".to_owned(), "x".to_owned())]);
    for (namespaces, selected) in [
        (json!({"names": ["other", "backstage"]}), true),
        (json!({"names": ["backstage-2"]}), false),
        (json!({"names": ["*"]}), false),
        (json!({}), false),
        (json!({"selector": {"matchLabels": {"team": "a"}}}), true),
        (json!({"selector": {"matchLabels": {"team": "a", "tier": "x"}}}), true),
        (json!({"selector": {"matchLabels": {"team": "a", "tier": "y"}}}), false),
        (json!({"selector": {"matchLabels": {}}}), false),
    ] {
        let grants: Vec<Grant> =
            serde_json::from_value(with(example_grants(), &[("/0/namespaces", namespaces.clone())])).unwrap();
        let desired = desired(&spec(example()), &example_references(), &Granted::select(&grants, "backstage", &labels));
        assert_eq!(desired.problems.is_empty(), selected, "{namespaces}");
    }
}

#[test]
fn hosts_are_compared_as_parsed_and_with_their_port() {
    for (url, entry, allowed) in [
        ("https://issuer.example/jwks", "issuer.example", true),
        ("https://issuer.example/jwks", "ISSUER.example:443", true),
        ("https://issuer.example:443/jwks", "issuer.example", true),
        ("http://issuer.example/jwks", "issuer.example:80", true),
        ("http://issuer.example/jwks", "issuer.example:443", false),
        ("https://issuer.example:8443/jwks", "issuer.example", false),
        ("https://issuer.example/jwks", "issuer.example:8443", false),
        ("https://issuer.example.evil/jwks", "issuer.example", false),
        ("https://evil/issuer.example", "issuer.example", false),
        ("https://issuer.example./jwks", "issuer.example", false),
        ("http://0x7f.1/jwks", "127.0.0.1", true),
        ("http://2130706433/jwks", "0x7f.1", true),
        ("http://0x7f.1/jwks", "0x7f.2", false),
        ("http://127.0.0.1./jwks", "127.0.0.1", true),
        ("http://[::1]/jwks", "[0:0::1]", true),
        ("http://[::ffff:127.0.0.1]/jwks", "127.0.0.1", false),
        ("https://a/jwks", "*", false),
        ("https://a/jwks", "a/x", false),
        ("https://a/jwks", "u@a", false),
    ] {
        let grants = with(example_grants(), &[("/0/issuerHosts", json!([entry]))]);
        let document = with(example(), &[("/auth/config", json!({"jwksUrl": url}))]);
        let told = told(&judge(document, &example_references(), &grants));
        assert_eq!(told.is_empty(), allowed, "{url} {entry} {told:?}");
    }
}

#[test]
fn a_star_stands_only_at_the_end() {
    for (pattern, allowed) in
        [("*", true), ("backstage-user", true), ("backstage-*", true), ("*-user", false), ("back*-*", false)]
    {
        let grants = with(example_grants(), &[("/0/roles", json!([pattern]))]);
        let desired = judge(example(), &example_references(), &grants);
        assert_eq!(ids(&desired).contains(&"Role jwt/backstage-user".to_owned()), allowed, "{pattern}");
    }
}

#[test]
fn root_is_never_handed_out_whatever_is_granted() {
    let grants = with(example_grants(), &[("/0/attachablePolicies", json!(["*", "root"]))]);
    for root in ["root", "ROOT", "Root", " root", "root\n", "r\u{3bf}ot"] {
        let document = with(example(), &[("/roles/0/tokenPolicies", json!([root]))]);
        let person = desired(&spec(document.clone()), &example_references(), &Granted::unrestricted());
        for desired in [judge(document, &example_references(), &grants), person] {
            assert_eq!(desired.problems.len(), 1);
            assert_eq!(desired.problems[0].kind, ProblemKind::Invalid);
        }
    }
}

#[test]
fn the_operator_is_not_sent_to_a_host_that_nobody_granted() {
    let login = |url: &str| json!({"role": "backstage-backend", "token": {"http": {"url": url}}});
    let field = "spec.login.token.http.url";
    let desired = changed(&[("/login", login("http://169.254.169.254/latest"))]);
    assert_one_problem(&desired, ProblemKind::NotGranted, field, "'issuerHosts'");
    assert_eq!(told(&changed(&[("/login", login("http://backstage.backstage.svc:7007/token"))])), Vec::<String>::new());
}

#[test]
fn a_granted_deny_is_an_exclusion_and_a_rule_that_denies_needs_no_grant() {
    let exclusion = json!({"path": "backstage/backend/data/users/secret*", "capabilities": ["deny"]});
    denied("/0/policyRules/-", exclusion, "spec.policies[1].rules[0]", "'policyRules'");
    let elsewhere = json!({"path": "backstage/backend/data/other/*", "capabilities": ["deny"]});
    let grants = with(example_grants(), &[("/0/policyRules/-", elsewhere)]);
    assert_eq!(told(&judge(example(), &example_references(), &grants)), Vec::<String>::new());
    let rule = json!({"path": "sys/*", "capabilities": ["deny"]});
    assert_eq!(told(&changed(&[("/policies/0/rules/-", rule)])), Vec::<String>::new());
}

#[test]
fn sudo_and_every_other_capability_must_be_named() {
    for capability in ["create", "read", "update", "patch", "delete", "list", "sudo"] {
        let rule = json!([{"path": "backstage/backend/data/x", "capabilities": [capability]}]);
        let desired = changed(&[("/policies/0/rules", rule)]);
        assert_eq!(desired.problems.is_empty(), capability != "sudo", "{capability}");
    }
}
