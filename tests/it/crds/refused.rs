//! Each kind of bad input, and the words with which `kubectl apply` refuses it: the field, and what is allowed there.

use serde_json::{Value, json};

use super::{Server, apply, create, named};

mod binding;
mod role;

/// What is put where, and what the refusal must say: first the field as the apiserver names it, then the reason.
type Case = (&'static str, Value, &'static str, &'static str);

const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";

fn connections() -> Vec<Case> {
    let one = "must have exactly one of `kubernetes`, `jwt`, `appRole` and `token`";
    vec![
        ("/spec/address", json!("vault:8200"), "spec.address", "must be a URL such as 'https://vault.vault.svc:8200'"),
        ("/spec/address", json!("https://vault?x"), "spec.address", "must be a URL such as"),
        (
            "/spec/address",
            json!("http://vault:8200"),
            "spec.tls",
            "may not be specified when `address` begins with 'http://'",
        ),
        ("/spec/auth", json!({}), "spec.auth", one),
        ("/spec/auth/token", json!({"secretRef": {"namespace": "a", "name": "b", "key": "c"}}), "spec.auth", one),
        ("/spec/limits/requestsPerSecond", json!(0), "spec.limits.requestsPerSecond", "greater than or equal to 1"),
        ("/spec/vaultNamespace", json!("a//b"), "spec.vaultNamespace", "with one '/' between them"),
        ("/spec/tls/caRef/kind", json!("File"), "spec.tls.caRef.kind", "Unsupported value: \"File\""),
        (
            "/spec/grants/0/namespaces",
            json!({}),
            "spec.grants[0].namespaces",
            "must have exactly one of `names` and `selector`",
        ),
        (
            "/spec/grants/0/namespaces",
            json!({"selector": {"matchLabels": {}}}),
            "spec.grants[0].namespaces.selector.matchLabels",
            "should have at least 1 properties",
        ),
        ("/spec/grants/0/roles", json!(["a*b"]), "spec.grants[0].roles[0]", "'*' as the last character"),
        ("/spec/grants/0/roles", json!(["*a"]), "spec.grants[0].roles[0]", "'*' as the last character"),
        ("/spec/grants/0/policies", json!(["root"]), "spec.grants[0].policies[0]", "must not be 'root'"),
        (
            "/spec/grants/0/attachablePolicies",
            json!(["root"]),
            "spec.grants[0].attachablePolicies[0]",
            "must not be 'root'",
        ),
        (
            "/spec/grants/0/attachablePolicies",
            json!(["ROOT"]),
            "spec.grants[0].attachablePolicies[0]",
            "must not be 'root'",
        ),
        ("/spec/grants/0/kv/0/paths", json!(["data/*"]), "spec.grants[0].kv[0].paths[0]", "write '*'"),
        ("/spec/grants/0/kv/0/paths", json!(["a/*/b"]), "spec.grants[0].kv[0].paths[0]", "'*' as the last character"),
        (
            "/spec/grants/0/policyRules/0/path",
            json!("a*b"),
            "spec.grants[0].policyRules[0].path",
            "only as the last character",
        ),
        (
            "/spec/grants/0/issuerHosts",
            json!(["https://a"]),
            "spec.grants[0].issuerHosts[0]",
            "must be 'host' or 'host:port'",
        ),
        (
            "/spec/grants/0/issuerHosts",
            json!(["*.a"]),
            "spec.grants[0].issuerHosts[0]",
            "without a scheme, a path or '*'",
        ),
        ("/spec/grants/0/maxTokenTtl", json!("1d"), "spec.grants[0].maxTokenTtl", "must be a duration such as"),
        ("/spec/grants/0/authMounts/1", json!({"path": "jwt"}), "spec.grants[0].authMounts[1]", "Duplicate value"),
    ]
}

/// Puts a value where the pointer says, also where there was nothing.
fn put(object: &mut Value, pointer: &str, value: Value) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    match object.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}")) {
        Value::Array(items) => match last.parse::<usize>().unwrap() {
            index if index < items.len() => items[index] = value,
            _ => items.push(value),
        },
        parent => parent[last] = value,
    }
}

#[tokio::test]
async fn bad_input_is_refused_with_the_field_and_what_is_allowed() {
    let (client, namespace) = Server::shared().await.namespace().await;
    let mut wrong = Vec::new();
    let tables =
        [("VaultJwtBinding", binding::cases()), ("VaultJwtBinding", role::cases()), ("VaultConnection", connections())];
    for (kind, cases) in tables {
        for (pointer, value, field, message) in cases {
            let mut object = named(kind, "bad", &namespace);
            put(&mut object, pointer, value.clone());
            match create(&client, &object).await {
                Err(refusal) if refusal.contains(field) && refusal.contains(message) => {}
                Err(refusal) => wrong.push(format!("{pointer} = {value}: expected {field} {message}, got {refusal}")),
                Ok(_) => wrong.push(format!("{pointer} = {value}: accepted")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn a_private_key_is_not_repeated_in_the_refusal() {
    let (client, namespace) = Server::shared().await.namespace().await;
    let mut binding = named("VaultJwtBinding", "private", &namespace);
    binding["spec"]["auth"]["config"] = json!({"validationPublicKeys": [PRIVATE]});
    let refusal = create(&client, &binding).await.unwrap_err();
    assert!(!refusal.contains("c2VjcmV0"), "{refusal}");
}

#[tokio::test]
async fn unusual_but_right_input_is_accepted() {
    let (client, namespace) = Server::shared().await.namespace().await;
    let pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n";
    let secret = json!({"name": "a", "key": "b"});
    let cases = [
        ("/spec/roles/1/boundClaims/0/values", json!(["a", 1, -7, true, false, 9_007_199_254_740_993_i64])),
        ("/spec/roles/1/boundClaims/0/claim", json!("/realm_access/roles")),
        ("/spec/roles/0/boundSubject", json!("system:serviceaccount:ns:name")),
        ("/spec/roles/0/tokenPolicies", json!(["default", "backend-service"])),
        ("/spec/roles/0/tokenBoundCidrs", json!(["10.0.0.1", "10.1.2.3/8", "fd00::/8", "::1"])),
        ("/spec/roles/0/tokenTtl", json!("1.5h")),
        ("/spec/roles/0/tokenMaxTtl", json!("0s")),
        ("/spec/roles/0/clockSkewLeeway", json!("Off")),
        ("/spec/roles/0/clockSkewLeeway", json!("1m30s")),
        ("/spec/interval", json!("30s")),
        ("/spec/auth/config", json!({"validationPublicKeys": [pem]})),
        ("/spec/auth/config", json!({"validationPublicKeys": [pem.trim(), pem.replace('\n', "\r\n")]})),
        ("/spec/auth/config", json!({"jwksPairs": [{"url": "https://a:1/x?y=z"}, {"url": "http://[::1]:7007/j'"}]})),
        ("/spec/policies/0", json!({"name": "raw", "hcl": "path \"a/*\" { capabilities = [\"read\"] }\n"})),
        ("/spec/policies/0/rules/0/path", json!("backstage/+/users/{{identity.entity.id}}/*")),
        ("/spec/login/token", json!({"serviceAccount": {"name": "backstage", "audience": "vault"}})),
        (
            "/spec/login/token",
            json!({"http": {"url": "https://a/token", "tokenPointer": "/backstageIdentity/token",
            "headers": [{"name": "Authorization", "secretKeyRef": secret}], "bodyRef": secret}}),
        ),
        (
            "/spec/login/token",
            json!({"signingKey": {"secretKeyRef": secret, "algorithm": "ES256", "keyId": "k", "ttl": "5m",
            "type": "vnd.backstage.plugin", "claims": [{"claim": "aud", "value": ["a", "b"]}, {"claim": "x", "value": {"y": 1.5}},
            {"claim": "z", "value": null}]}}),
        ),
    ];
    for (pointer, value) in cases {
        let mut binding = named("VaultJwtBinding", "good", &namespace);
        put(&mut binding, pointer, value);
        let applied = apply(&client, &binding, true).await.unwrap_or_else(|refusal| panic!("{pointer}: {refusal}"));
        let whole = json!({"spec": applied.data["spec"]});
        super::assert_contains(whole.pointer(pointer).unwrap(), binding.pointer(pointer).unwrap(), pointer);
    }
}
