//! The design's example and its mistakes: what is asked for, what comes out, and which problem is reported where.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretSlice};
use serde_json::{Value, json};

use super::*;
use crate::api::connection::Grant;
use crate::api::references::CaKind;

mod config;
mod grants;
mod policies_and_kv;
mod roles;
mod rule_paths;

/// The founding case, without its login.
fn example() -> Value {
    json!({
        "connectionRef": {"name": "main"},
        "auth": {
            "mount": "jwt",
            "enable": true,
            "config": {
                "jwksUrl": "http://backstage.backstage.svc:7007/api/auth/.well-known/jwks.json",
                "boundIssuer": "http://localhost:7007",
                "defaultRole": "backstage-backend",
                "supportedAlgorithms": ["ES256"],
            },
        },
        "roles": [
            {
                "name": "backstage-backend", "boundAudiences": ["backstage"], "boundSubject": "backstage-backend",
                "userClaim": "sub", "tokenPolicies": ["backend-service"], "tokenTtl": "1h", "tokenMaxTtl": "24h",
                "clockSkewLeeway": "60s", "expirationLeeway": "60s", "notBeforeLeeway": "60s",
            },
            {
                "name": "backstage-user", "boundAudiences": ["backstage"], "userClaim": "sub", "groupsClaim": "groups",
                "boundClaims": [{"claim": "groups", "values": ["team-a", "team-b"]}],
                "claimMappings": [{"claim": "username", "metadataKey": "username"}],
                "tokenPolicies": ["backstage-user"], "tokenTtl": "15m", "tokenMaxTtl": "1h",
            },
        ],
        "policies": [
            {"name": "backend-service",
             "rules": [{"path": "backstage/backend/data/terraform-state-plugin/*", "capabilities": ["read"]}]},
            {"name": "backstage-user",
             "rules": [{"path": "backstage/backend/data/users/*", "capabilities": ["read", "list"]}]},
        ],
        "kv": [{
            "mount": "backstage/backend", "path": "terraform-state-plugin/tfc-token",
            "data": [{"key": "Badal_devex", "secretKeyRef": {"name": "tfc-token", "key": "token"}}],
        }],
    })
}

fn example_grants() -> Value {
    json!([{
        "namespaces": {"names": ["backstage"]},
        "authMounts": [{"path": "jwt", "manageConfig": true, "enable": true}],
        "roles": ["backstage-*"],
        "policies": ["backstage-*", "backend-service"],
        "attachablePolicies": ["backstage-*", "backend-service"],
        "policyRules": [{"path": "backstage/backend/*",
                         "capabilities": ["create", "read", "update", "patch", "delete", "list"]}],
        "kv": [{"mount": "backstage/backend", "paths": ["terraform-state-plugin/*"]}],
        "issuerHosts": ["backstage.backstage.svc:7007"],
        "allowHttp": true,
        "maxTokenTtl": "24h",
    }])
}

fn found(value: impl Into<Vec<u8>>) -> Lookup {
    Lookup::Found(SecretSlice::from(value.into()))
}

fn secret(name: &str, key: &str) -> Reference {
    Reference { kind: CaKind::Secret, name: name.to_owned(), key: key.to_owned() }
}

fn example_references() -> References {
    References::from([(secret("tfc-token", "token"), found("tfc-secret"))])
}

/// Sets the value at a JSON pointer, with `-` for a new element of a list.
fn with(mut document: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, value) in changes {
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        match document.pointer_mut(parent).unwrap_or_else(|| panic!("nothing at {parent}")) {
            Value::Object(fields) => drop(fields.insert(last.to_owned(), value.clone())),
            Value::Array(elements) if last == "-" => elements.push(value.clone()),
            Value::Array(elements) => elements[last.parse::<usize>().unwrap()] = value.clone(),
            other => panic!("{other} has no fields"),
        }
    }
    document
}

fn spec(document: Value) -> VaultJwtBindingSpec {
    serde_json::from_value(document).unwrap()
}

fn judge(document: Value, references: &References, grants: &Value) -> Desired {
    let grants: Vec<Grant> = serde_json::from_value(grants.clone()).unwrap();
    desired(&spec(document), references, &Granted::select(&grants, "backstage", &BTreeMap::new()))
}

/// The example with changes, under the example's grants.
fn changed(changes: &[(&str, Value)]) -> Desired {
    judge(with(example(), changes), &example_references(), &example_grants())
}

/// Kind, field and message of each problem, one a line.
fn told(desired: &Desired) -> Vec<String> {
    desired.problems.iter().map(|p| format!("{:?} {}: {}", p.kind, p.field, p.message)).collect()
}

/// Asserts that exactly one problem of this kind is reported for the field, that its message says this, and that its
/// object, if it has one, is left out while others go on.
#[track_caller]
fn assert_one_problem(desired: &Desired, kind: ProblemKind, field: &str, says: &str) {
    let [problem] = desired.problems.as_slice() else { panic!("expected one problem: {:#?}", told(desired)) };
    assert_eq!((problem.kind, problem.field.as_str()), (kind, field), "{}", problem.message);
    assert!(problem.message.contains(says), "{} lacks {says:?}", problem.message);
    let left_out = problem.object.as_ref().is_some_and(|id| desired.objects.iter().any(|object| object.id() == *id));
    assert!(!left_out, "{:?} is there in spite of its problem", problem.object);
    assert!(!desired.objects.is_empty(), "others should go on");
}

fn ids(desired: &Desired) -> Vec<String> {
    desired.objects.iter().map(|object| object.id().to_string()).collect()
}

#[test]
fn the_example_becomes_its_objects_in_the_order_of_creation() {
    let desired = changed(&[]);
    assert_eq!(told(&desired), Vec::<String>::new());
    assert_eq!(
        ids(&desired),
        [
            "AuthMount jwt",
            "Policy backend-service",
            "Policy backstage-user",
            "Kv backstage/backend/terraform-state-plugin/tfc-token",
            "JwtConfig jwt",
            "Role jwt/backstage-backend",
            "Role jwt/backstage-user",
        ]
    );
}

#[test]
fn without_a_grant_nothing_is_desired_and_each_object_is_said_to_lack_one() {
    let desired = judge(example(), &example_references(), &json!([]));
    assert_eq!(ids(&desired), Vec::<String>::new());
    assert_eq!(desired.problems.len(), 7);
    for problem in &desired.problems {
        assert_eq!(problem.kind, ProblemKind::NotGranted);
        assert!(problem.message.contains("has no grant for namespace 'backstage'"), "{}", problem.message);
    }
}

#[test]
fn a_person_with_a_token_of_their_own_needs_no_grant() {
    let desired = desired(&spec(example()), &example_references(), &Granted::unrestricted());
    assert_eq!(told(&desired), Vec::<String>::new());
    assert_eq!(desired.objects.len(), 7);
}

#[test]
fn what_must_be_looked_up_is_named_once_and_only_if_it_can_exist() {
    let document = with(
        example(),
        &[
            ("/auth/config/jwksCaRef", json!({"kind": "ConfigMap", "name": "ca", "key": "ca.crt"})),
            ("/kv/0/data/-", json!({"key": "again", "secretKeyRef": {"name": "tfc-token", "key": "token"}})),
            ("/kv/0/data/-", json!({"key": "evil", "secretKeyRef": {"name": "../../secrets", "key": "token"}})),
        ],
    );
    let wanted = Reference { kind: CaKind::ConfigMap, name: "ca".into(), key: "ca.crt".into() };
    assert_eq!(references(&spec(document)), [secret("tfc-token", "token"), wanted].into());
}

#[test]
fn claims_name_what_a_spec_wants_and_a_whole_secret_conflicts_with_its_keys() {
    let mut keys = claims(&spec(example()));
    let whole = claims(&spec(with(example(), &[("/kv/0/ownership", json!("Secret"))])));
    let key = keys.pop().unwrap();
    let secret = whole.last().unwrap();
    assert_eq!(keys.len(), 5);
    assert_eq!((key.key.as_deref(), secret.key.as_deref()), (Some("Badal_devex"), None));
    assert!(key.conflicts_with(secret) && secret.conflicts_with(&key) && key.conflicts_with(&key));
    let other = Claim { key: Some("other".into()), ..key.clone() };
    assert!(!key.conflicts_with(&other) && !key.conflicts_with(&keys[0]));
}

#[test]
fn an_invalid_mount_takes_what_lies_on_it_along_and_says_so_at_each() {
    let desired = changed(&[("/auth/mount", json!("../sys"))]);
    let objects: Vec<_> = desired.problems.iter().filter_map(|p| p.object.as_ref().map(ToString::to_string)).collect();
    assert_eq!(
        objects,
        ["AuthMount ../sys", "JwtConfig ../sys", "Role ../sys/backstage-backend", "Role ../sys/backstage-user"]
    );
    assert_eq!(desired.objects.len(), 3);
}

#[test]
fn the_fields_of_the_binding_itself_are_checked() {
    for (pointer, value, field, says) in [
        ("/interval", "10s", "spec.interval", "at least '30s'"),
        ("/interval", "soon", "spec.interval", "must be a duration"),
        ("/timeout", "0s", "spec.timeout", "at least '1s'"),
        ("/timeout", "10m1s", "spec.timeout", "at most '10m'"),
        ("/connectionRef/name", "Main/x", "spec.connectionRef.name", "name of a VaultConnection"),
    ] {
        assert_one_problem(&changed(&[(pointer, json!(value))]), ProblemKind::Invalid, field, says);
    }
}

#[test]
fn secrets_are_not_in_debug_output() {
    let shown = format!("{:?}", changed(&[]));
    assert!(!shown.contains("tfc-secret"));
    let Some(Object::Kv(kv)) = changed(&[]).objects.into_iter().find(|o| matches!(o, Object::Kv(_))) else { panic!() };
    assert_eq!(kv.data["Badal_devex"].expose_secret(), "tfc-secret");
}
