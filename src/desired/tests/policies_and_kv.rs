//! Policies become text that Vault parses to exactly their rules; KV entries hold their values or say what is missing.

use super::*;

fn policy_text(desired: &Desired, name: &str) -> String {
    let text = desired.objects.iter().find_map(|object| match object {
        Object::Policy(policy) if policy.name.as_str() == name => Some(policy.text.clone()),
        _ => None,
    });
    text.unwrap_or_else(|| panic!("no policy: {:#?}", told(desired)))
}

fn raw_grants() -> Value {
    with(example_grants(), &[("/0/rawPolicies", json!(true))])
}

fn raw(hcl: &str) -> Desired {
    let policy = json!({"name": "backend-service", "hcl": hcl});
    judge(with(example(), &[("/policies/0", policy)]), &example_references(), &raw_grants())
}

#[test]
fn rules_become_hcl_in_one_order() {
    let rules = json!([
        {"path": "backstage/backend/z/+/x", "capabilities": ["list", "read", "read"]},
        {"path": "backstage/backend/a/{{identity.entity.id}}/*", "capabilities": ["create"]},
    ]);
    let expected = "path \"backstage/backend/a/{{identity.entity.id}}/*\" {\n  capabilities = [\"create\"]\n}\n\n\
                    path \"backstage/backend/z/+/x\" {\n  capabilities = [\"read\", \"list\"]\n}\n";
    assert_eq!(policy_text(&changed(&[("/policies/0/rules", rules)]), "backend-service"), expected);
}

#[test]
fn raw_text_is_taken_to_the_letter_where_it_is_granted() {
    let hcl = "# ours\r\npath \"x\" { capabilities = [\"read\"] }\n\n";
    assert_eq!(policy_text(&raw(hcl), "backend-service"), hcl);
}

#[test]
fn raw_text_is_neither_blank_nor_endless() {
    for (hcl, says) in [(" \n\t", "must not be blank"), ("a\0", "NUL"), (&"x".repeat(65_537), "at most 65536")] {
        assert_one_problem(&raw(hcl), ProblemKind::Invalid, "spec.policies[0].hcl", says);
    }
}

#[test]
fn each_mistake_in_a_policy_is_named_at_its_field() {
    let rule = |path: &str| json!([{"path": path, "capabilities": ["read"]}]);
    let twice = json!([
        {"path": "backstage/backend/a", "capabilities": ["read"]},
        {"path": "backstage/backend/a", "capabilities": ["list"]},
    ]);
    for (field, value, at, says) in [
        ("name", json!("root"), ".name", "must not be 'root'"),
        ("name", json!("ROOT"), ".name", "must be lower case"),
        ("name", json!("default"), ".name", "Vault's own"),
        ("hcl", json!("path \"x\" {}"), "", "either 'rules' or 'hcl'"),
        ("rules", json!([]), "", "must have 'rules'"),
        (
            "rules",
            json!([{"path": "backstage/backend/a", "capabilities": []}]),
            ".rules[0].capabilities",
            "at least one",
        ),
        ("rules", twice, ".rules[1].path", "twice"),
        ("rules", rule(""), ".rules[0].path", "must not be empty"),
        ("rules", rule("/backstage/backend/a"), ".rules[0].path", "must not begin with '/'"),
        ("rules", rule("backstage//a"), ".rules[0].path", "'//'"),
        ("rules", rule("backstage/backend/../a"), ".rules[0].path", "'..'"),
        ("rules", rule("backstage/*/a"), ".rules[0].path", "only as the last character"),
        ("rules", rule("backstage/a+/b"), ".rules[0].path", "only as a whole segment"),
        ("rules", rule("backstage/+*"), ".rules[0].path", "only as a whole segment"),
        ("rules", rule("backstage/a\"b"), ".rules[0].path", "must consist of"),
        ("rules", rule("backstage/${a}"), ".rules[0].path", "outside a template"),
        ("rules", rule("backstage/a b"), ".rules[0].path", "must consist of"),
        ("rules", rule("backstage/{{ identity.entity.id }}"), ".rules[0].path", "without spaces"),
        ("rules", rule("backstage/{{identity.entity.id"), ".rules[0].path", "'{{identity.…}}'"),
        ("rules", rule("backstage/{{env.HOME}}"), ".rules[0].path", "'{{identity.…}}'"),
        ("rules", rule("backstage/}}{{identity.entity.id}}"), ".rules[0].path", "'{{identity.…}}'"),
    ] {
        let document = with(example(), &[(&format!("/policies/0/{field}"), value.clone())]);
        let desired = judge(document, &example_references(), &raw_grants());
        assert_one_problem(&desired, ProblemKind::Invalid, &format!("spec.policies[0]{at}"), says);
    }
}

#[test]
fn of_two_policies_with_one_name_neither_is_written() {
    let desired = changed(&[("/policies/1/name", json!("backend-service"))]);
    assert_one_problem(&desired, ProblemKind::Invalid, "spec.policies[1].name", "twice");
    assert!(!ids(&desired).iter().any(|id| id.starts_with("Policy")));
}

#[test]
fn each_mistake_in_a_kv_entry_is_named_at_its_field() {
    let item = |key: &str| json!([{"key": key, "secretKeyRef": {"name": "tfc-token", "key": "token"}}]);
    let twice = json!([item("a")[0], item("a")[0]]);
    for (field, value, at, says) in [
        ("path", json!("data/terraform-state-plugin/tfc-token"), "path", "write 'terraform-state-plugin/tfc-token'"),
        ("path", json!("backstage/backend/data/app/token"), "path", "write 'app/token'"),
        ("path", json!("metadata/terraform-state-plugin/x"), "path", "write 'terraform-state-plugin/x'"),
        ("path", json!("terraform-state-plugin/../x"), "path", "must consist of"),
        ("path", json!("terraform-state-plugin/x/"), "path", "must not begin or end with '/'"),
        ("mount", json!("backstage//backend"), "mount", "must consist of"),
        ("data", json!([]), "data", "at least one key"),
        ("data", twice, "data[1].key", "twice"),
        ("data", item(""), "data[0].key", "1 to 100"),
        ("data", item("a\"b"), "data[0].key", "1 to 100"),
        ("data/0/secretKeyRef/name", json!("../x"), "data[0].secretKeyRef.name", "name of an object"),
        ("data/0/secretKeyRef/key", json!("a/b"), "data[0].secretKeyRef.key", "key of its data"),
    ] {
        let desired = changed(&[(&format!("/kv/0/{field}"), value.clone())]);
        assert_one_problem(&desired, ProblemKind::Invalid, &format!("spec.kv[0].{at}"), says);
    }
}

#[test]
fn one_entry_named_in_two_ways_is_found_out() {
    let again = json!({"mount": "backstage", "path": "backend/terraform-state-plugin/tfc-token", "data": example()["kv"][0]["data"]});
    let grants = with(example_grants(), &[("/0/kv/-", json!({"mount": "backstage", "paths": ["*"]}))]);
    let desired = judge(with(example(), &[("/kv/-", again)]), &example_references(), &grants);
    assert_one_problem(&desired, ProblemKind::Invalid, "spec.kv[1].path", "twice");
}

fn kv_with(lookup: Lookup) -> Desired {
    judge(example(), &References::from([(secret("tfc-token", "token"), lookup)]), &example_grants())
}

#[test]
fn values_are_waited_for_and_refused_when_vault_could_not_hold_them() {
    let field = "spec.kv[0].data[0].secretKeyRef";
    for (lookup, kind, field, says) in [
        (Lookup::NoObject, ProblemKind::ReferenceNotFound, field, "Secret 'tfc-token' does not exist"),
        (Lookup::NoKey, ProblemKind::ReferenceNotFound, field, "Secret 'tfc-token' has no key 'token'"),
        (Lookup::Unreadable("no".into()), ProblemKind::ReferenceNotFound, field, "'tfc-token' could not be read: no"),
        (found(vec![0xff]), ProblemKind::ReferenceInvalid, field, "key 'token' in Secret 'tfc-token' must be UTF-8"),
        (found(vec![b'x'; 1 << 20]), ProblemKind::ReferenceInvalid, "spec.kv[0].data", "at most 1000000"),
        // Short as it is, it grows sixfold in JSON.
        (found(vec![1; 200_000]), ProblemKind::ReferenceInvalid, "spec.kv[0].data", "at most 1000000"),
    ] {
        assert_one_problem(&kv_with(lookup), kind, field, says);
    }
}

#[test]
fn empty_and_large_values_are_fine() {
    for value in [String::new(), "x".repeat(900_000)] {
        let desired = kv_with(found(value.as_str()));
        let Some(Object::Kv(kv)) = desired.objects.iter().find(|o| matches!(o, Object::Kv(_))) else {
            panic!("no entry")
        };
        assert_eq!(kv.data["Badal_devex"].expose_secret(), value);
    }
}
