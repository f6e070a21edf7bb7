//! Each kind of bad input, and the words with which `kubectl apply` refuses it: the field, and what is allowed there.

use serde_json::{Value, json};

use super::{apply, named};
use crate::lab::Lab;

/// What is put where, and what the refusal must say: first the field as the apiserver names it, then the reason.
type Case = (&'static str, Value, &'static str, &'static str);

const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";

fn bindings() -> Vec<Case> {
    let long = "a".repeat(600);
    let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    let role = |changes: Value| {
        let mut role = json!({"name": "backstage-x", "boundAudiences": ["vault"], "userClaim": "sub"});
        json_patch::merge(&mut role, &changes);
        role
    };
    let exactly_one = "must have exactly one of `jwksUrl`, `jwksPairs`, `oidcDiscoveryUrl` and `validationPublicKeys`";
    let duration = "must be a duration such as '30s', '5m' or '1h30m'";
    let leeway = "write 'Default' for that, or 'Off' for none";
    vec![
        // What the apiserver itself refuses.
        ("/spec/role", json!([]), ".spec.role", "field not declared in schema"),
        ("/spec/auth/config/jwksURL", json!("https://a/jwks"), ".spec.auth.config.jwksURL", "not declared in schema"),
        ("/spec/drift", json!("Ignore"), "spec.drift", "Unsupported value: \"Ignore\""),
        ("/spec/adoption", json!("adopt"), "spec.adoption", "supported values: \"Fail\", \"Adopt\""),
        ("/spec/deletionPolicy", json!("Keep"), "spec.deletionPolicy", "supported values: \"Delete\", \"Orphan\""),
        ("/spec/suspend", json!("yes"), ".spec.suspend", "expected boolean"),
        ("/spec/auth/config/supportedAlgorithms", json!(["HS256"]), "supportedAlgorithms[0]", "Unsupported value"),
        // Durations.
        ("/spec/interval", json!("10s"), "spec.interval", "must be greater than or equal to '30s'"),
        ("/spec/interval", json!("soon"), "spec.interval", duration),
        ("/spec/interval", json!("1d"), "spec.interval", duration),
        ("/spec/interval", json!("-5m"), "spec.interval", duration),
        ("/spec/interval", json!("99999h"), "spec.interval", "must be less than or equal to '87600h'"),
        ("/spec/timeout", json!("500ms"), "spec.timeout", "must be greater than or equal to '1s'"),
        ("/spec/login/interval", json!("29s"), "spec.login.interval", "must be greater than or equal to '30s'"),
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
        // Leeways: to Vault 0 is its default.
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
        // Names.
        ("/spec/roles/0/name", json!("../policies"), "spec.roles[0].name", "must not contain '..'"),
        ("/spec/roles/0/name", json!("a/b"), "spec.roles[0].name", "must consist of lower-case letters"),
        ("/spec/roles/0/name", json!("Backstage"), "spec.roles[0].name", "Vault lower-cases this name"),
        (
            "/spec/roles/0/name",
            json!("backstage "),
            "spec.roles[0].name",
            "must begin and end with a letter, a digit or '_'",
        ),
        ("/spec/policies/0/name", json!("root"), "spec.policies[0].name", "must not be 'root'"),
        ("/spec/policies/0/name", json!("default"), "spec.policies[0].name", "must not be one of Vault's own policies"),
        ("/spec/auth/mount", json!("auth//jwt"), "spec.auth.mount", "with one '/' between them"),
        ("/spec/auth/mount", json!("jwt/"), "spec.auth.mount", "none at the ends"),
        ("/spec/auth/mount", json!(long), "spec.auth.mount", "Too long: may not be more than 512"),
        ("/spec/connectionRef/name", json!("Main"), "spec.connectionRef.name", "must be the name of an object"),
        // KV.
        (
            "/spec/kv/0/path",
            json!("data/terraform-state-plugin/tfc-token"),
            "spec.kv[0].path",
            "KV version 2 adds that itself; write 'terraform-state-plugin/tfc-token'",
        ),
        ("/spec/kv/0/path", json!("metadata/a"), "spec.kv[0].path", "without 'data/' or 'metadata/'"),
        ("/spec/kv/0/path", json!("data"), "spec.kv[0].path", "must not be 'data'"),
        ("/spec/kv/0/data", json!([]), "spec.kv[0].data", "should have at least 1 items"),
        (
            "/spec/kv/0/data/0/secretKeyRef/key",
            json!("a/b"),
            "spec.kv[0].data[0].secretKeyRef.key",
            "must be a key of its data",
        ),
        ("/spec/kv/1", sample_kv(), "spec.kv[1]", "Duplicate value"),
        ("/spec/login/expect/readable/0/path", json!("data/a"), "spec.login.expect.readable[0].path", "write 'a'"),
        // The config of the mount.
        ("/spec/auth/config/oidcDiscoveryUrl", json!("https://issuer.example"), "spec.auth.config", exactly_one),
        ("/spec/auth/config", json!({"boundIssuer": "a"}), "spec.auth.config", exactly_one),
        ("/spec/auth/config", json!({"jwksPairs": []}), "spec.auth.config", exactly_one),
        (
            "/spec/auth/config",
            json!({"jwksPairs": [{"url": "https://a/jwks"}], "boundIssuer": "a"}),
            "spec.auth.config.boundIssuer",
            "may not be specified when `jwksPairs` is set",
        ),
        (
            "/spec/auth/config",
            json!({"validationPublicKeys": [pem], "jwksCaRef": {"kind": "Secret", "name": "ca", "key": "ca.crt"}}),
            "spec.auth.config.jwksCaRef",
            "may only be specified when `jwksUrl` is set",
        ),
        (
            "/spec/auth/config",
            json!({"validationPublicKeys": [pem], "oidcDiscoveryCaRef": {"kind": "Secret", "name": "ca", "key": "ca.crt"}}),
            "spec.auth.config.oidcDiscoveryCaRef",
            "may only be specified when `oidcDiscoveryUrl` is set",
        ),
        (
            "/spec/auth/config",
            json!({"validationPublicKeys": [PRIVATE]}),
            "spec.auth.config.validationPublicKeys[0]",
            "must not contain a private key",
        ),
        (
            "/spec/auth/config",
            json!({"validationPublicKeys": [format!("{pem}{pem}")]}),
            "spec.auth.config.validationPublicKeys[0]",
            "must be one public key or certificate in PEM",
        ),
        (
            "/spec/auth/config",
            json!({"validationPublicKeys": [pem.replace('\n', "\\n")]}),
            "spec.auth.config.validationPublicKeys[0]",
            "with line breaks",
        ),
        (
            "/spec/auth/config/jwksUrl",
            json!("issuer.example/jwks"),
            "spec.auth.config.jwksUrl",
            "must be a URL such as",
        ),
        (
            "/spec/auth/config/jwksUrl",
            json!("https://u:p@a/jwks"),
            "spec.auth.config.jwksUrl",
            "without user, password",
        ),
        ("/spec/auth/config/jwksUrl", json!("https://a/jwks#x"), "spec.auth.config.jwksUrl", "fragment"),
        ("/spec/auth/config/jwksUrl", json!("file:///etc/passwd"), "spec.auth.config.jwksUrl", "must be a URL such as"),
        (
            "/spec/auth/config",
            json!({"oidcDiscoveryUrl": "https://a/.well-known/openid-configuration"}),
            "spec.auth.config.oidcDiscoveryUrl",
            "must be the issuer's base URL",
        ),
        (
            "/spec/auth/config/defaultRole",
            json!("A"),
            "spec.auth.config.defaultRole",
            "must consist of lower-case letters",
        ),
        // Roles.
        ("/spec/roles/1", role(json!({"name": "backstage-backend"})), "spec.roles[1]", "Duplicate value"),
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
            role(json!({"tokenType": "Batch", "tokenPeriod": "1h"})),
            "spec.roles[0].tokenPeriod",
            "may not be specified when `tokenType` is 'Batch'",
        ),
        (
            "/spec/roles/0",
            role(json!({"tokenType": "Batch", "tokenNumUses": 1})),
            "spec.roles[0].tokenNumUses",
            "must be 0 when `tokenType` is 'Batch'",
        ),
        (
            "/spec/roles/0",
            role(json!({"claimMappings": [{"claim": "a", "metadataKey": "role"}]})),
            "spec.roles[0].claimMappings[0].metadataKey",
            "must not be 'role'",
        ),
        (
            "/spec/roles/0",
            role(json!({"claimMappings": [{"claim": "a", "metadataKey": "x"}, {"claim": "b", "metadataKey": "x"}]})),
            "spec.roles[0].claimMappings",
            "must not map two claims to one `metadataKey`",
        ),
        (
            "/spec/roles/0",
            role(json!({"boundClaims": [{"claim": "a", "values": [1]}, {"claim": "a", "values": [2]}]})),
            "spec.roles[0].boundClaims[1]",
            "Duplicate value",
        ),
        (
            "/spec/roles/0",
            role(json!({"boundClaims": [{"claim": "a", "values": []}]})),
            "spec.roles[0].boundClaims[0].values",
            "should have at least 1 items",
        ),
        (
            "/spec/roles/0",
            role(json!({"boundClaims": [{"claim": "a", "values": ["x", 1.5]}]})),
            "spec.roles[0].boundClaims[0].values[1]",
            "should be a multiple of 1",
        ),
        (
            "/spec/roles/0",
            role(json!({"boundClaims": [{"claim": "a", "values": [{"b": 1}]}]})),
            "spec.roles[0].boundClaims[0].values[0]",
            "must have at most 0 items",
        ),
        (
            "/spec/roles/0",
            role(json!({"boundClaims": [{"claim": "a", "values": [{}]}]})),
            "spec.roles[0].boundClaims[0].values[0]",
            "at least 1 properties",
        ),
        (
            "/spec/roles/0",
            role(json!({"boundClaims": [{"claim": "a", "values": [["b"]]}]})),
            "spec.roles[0].boundClaims[0].values[0]",
            "must have at most 0 items",
        ),
        (
            "/spec/roles/0",
            role(json!({"boundClaimsType": "Glob", "boundClaims": [{"claim": "a", "values": ["a*", 1]}]})),
            "spec.roles[0]",
            "x",
        ),
        (
            "/spec/roles/0",
            role(json!({"boundClaimsType": "Glob", "boundClaims": [{"claim": "a", "values": [true]}]})),
            "spec.roles[0]",
            "x",
        ),
        // Policies.
        (
            "/spec/policies/0/hcl",
            json!("path \"a\" {}"),
            "spec.policies[0]",
            "must have exactly one of `rules` and `hcl`",
        ),
        ("/spec/policies/0", json!({"name": "a"}), "spec.policies[0]", "must have exactly one of `rules` and `hcl`"),
        ("/spec/policies/0", json!({"name": "a", "hcl": " \n"}), "spec.policies[0].hcl", "must not be blank"),
        (
            "/spec/policies/0/rules/0/path",
            json!("/secret"),
            "spec.policies[0].rules[0].path",
            "must not begin with '/'",
        ),
        (
            "/spec/policies/0/rules/0/path",
            json!("a/*/b"),
            "spec.policies[0].rules[0].path",
            "'*' only as the last character",
        ),
        (
            "/spec/policies/0/rules/0/path",
            json!("a/b+/c"),
            "spec.policies[0].rules[0].path",
            "'+' only as a whole segment",
        ),
        (
            "/spec/policies/0/rules/0/path",
            json!("a/+*"),
            "spec.policies[0].rules[0].path",
            "'+' only as a whole segment",
        ),
        ("/spec/policies/0/rules/0/path", json!("a/../b"), "spec.policies[0].rules[0].path", "must not contain '..'"),
        ("/spec/policies/0/rules/0/path", json!("a\"{}"), "spec.policies[0].rules[0].path", "must consist of letters"),
        ("/spec/policies/0/rules/0/path", json!("a/{{b}}"), "spec.policies[0].rules[0].path", "'{{identity.…}}'"),
        ("/spec/policies/0/rules/0/capabilities", json!([]), "rules[0].capabilities", "should have at least 1 items"),
        (
            "/spec/policies/0/rules/0/capabilities",
            json!(["reed"]),
            "rules[0].capabilities[0]",
            "Unsupported value: \"reed\"",
        ),
        // The probe.
        (
            "/spec/login/token",
            json!({}),
            "spec.login.token",
            "must have exactly one of `secretKeyRef`, `serviceAccount`",
        ),
        (
            "/spec/login/token/serviceAccount",
            json!({"name": "a", "audience": "b"}),
            "spec.login.token",
            "must have exactly one of `secretKeyRef`, `serviceAccount`",
        ),
        (
            "/spec/login/token",
            json!({"http": {"url": "https://a", "headers": [{"name": "X-A"}]}}),
            "spec.login.token.http.headers[0]",
            "must have exactly one of `value` and `secretKeyRef`",
        ),
        (
            "/spec/login/token",
            json!({"http": {"url": "https://a", "headers": [{"name": "authorization", "value": "Bearer x"}]}}),
            "spec.login.token.http.headers[0].value",
            "whose value is a secret: use `secretKeyRef`",
        ),
        (
            "/spec/login/token",
            json!({"http": {"url": "https://a", "method": "GET", "bodyRef": {"name": "a", "key": "b"}}}),
            "spec.login.token.http.bodyRef",
            "may only be specified when `method` is 'POST'",
        ),
        (
            "/spec/login/token",
            json!({"http": {"url": "https://a", "tokenPointer": "token"}}),
            "spec.login.token.http.tokenPointer",
            "must be a JSON pointer, which begins with '/'",
        ),
        (
            "/spec/login/token",
            json!({"signingKey": {"secretKeyRef": {"name": "a", "key": "b"}, "algorithm": "ES256", "ttl": "0s"}}),
            "spec.login.token.signingKey.ttl",
            "must be greater than or equal to '1s'",
        ),
        (
            "/spec/login/token",
            json!({"signingKey": {"secretKeyRef": {"name": "a", "key": "b"}, "algorithm": "ES256",
                                  "claims": [{"claim": "exp", "value": 1}]}}),
            "spec.login.token.signingKey.claims[0].claim",
            "must not be 'iat' or 'exp'",
        ),
    ]
}

fn sample_kv() -> Value {
    super::sample("VaultJwtBinding")["spec"]["kv"][0].clone()
}

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
    let lab = Lab::shared().await;
    let (client, namespace) = (lab.kube().await, lab.namespace().await.unwrap());
    let mut wrong = Vec::new();
    for (kind, cases) in [("VaultJwtBinding", bindings()), ("VaultConnection", connections())] {
        for (pointer, value, field, message) in cases {
            let mut object = named(kind, "bad", &namespace);
            put(&mut object, pointer, value.clone());
            match apply(&client, &object, true).await {
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
    let lab = Lab::shared().await;
    let (client, namespace) = (lab.kube().await, lab.namespace().await.unwrap());
    let mut binding = named("VaultJwtBinding", "private", &namespace);
    binding["spec"]["auth"]["config"] = json!({"validationPublicKeys": [PRIVATE]});
    let refusal = apply(&client, &binding, true).await.unwrap_err();
    assert!(!refusal.contains("c2VjcmV0"), "{refusal}");
}

#[tokio::test]
async fn unusual_but_right_input_is_accepted() {
    let lab = Lab::shared().await;
    let (client, namespace) = (lab.kube().await, lab.namespace().await.unwrap());
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
