//! Bad input outside the roles: forms, durations, names, the mount's config, policies, KV entries and the probe.

use serde_json::json;

use super::{Case, PRIVATE};

const DURATION: &str = "must be a duration such as '30s', '5m' or '1h30m'";
const ONE_SOURCE: &str =
    "must have exactly one of `jwksUrl`, `jwksPairs`, `oidcDiscoveryUrl` and `validationPublicKeys`";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";

/// What the schema's types and enumerations refuse.
fn forms() -> Vec<Case> {
    vec![
        ("/spec/role", json!([]), "spec.role", "unknown field \"spec.role\""),
        ("/spec/auth/config/jwksURL", json!("https://a/jwks"), "spec.auth.config.jwksURL", "unknown field"),
        ("/spec/drift", json!("Ignore"), "spec.drift", "Unsupported value: \"Ignore\""),
        ("/spec/adoption", json!("adopt"), "spec.adoption", "supported values: \"Fail\", \"Adopt\""),
        ("/spec/deletionPolicy", json!("Keep"), "spec.deletionPolicy", "supported values: \"Delete\", \"Orphan\""),
        ("/spec/suspend", json!("yes"), "spec.suspend", "must be of type boolean"),
        ("/spec/auth/config/supportedAlgorithms", json!(["HS256"]), "supportedAlgorithms[0]", "Unsupported value"),
    ]
}

fn durations() -> Vec<Case> {
    vec![
        ("/spec/interval", json!("10s"), "spec.interval", "must be greater than or equal to '30s'"),
        ("/spec/interval", json!("soon"), "spec.interval", DURATION),
        ("/spec/interval", json!("1d"), "spec.interval", DURATION),
        ("/spec/interval", json!("-5m"), "spec.interval", DURATION),
        ("/spec/interval", json!("99999h"), "spec.interval", "must be less than or equal to '87600h'"),
        ("/spec/timeout", json!("500ms"), "spec.timeout", "must be greater than or equal to '1s'"),
        ("/spec/timeout", json!("10m1s"), "spec.timeout", "must be less than or equal to '10m'"),
        ("/spec/login/interval", json!("29s"), "spec.login.interval", "must be greater than or equal to '30s'"),
    ]
}

fn names() -> Vec<Case> {
    let long = "a".repeat(600);
    vec![
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
    ]
}

fn kv() -> Vec<Case> {
    vec![
        (
            "/spec/kv/0/path",
            json!("data/terraform-state-plugin/tfc-token"),
            "spec.kv[0].path",
            "KV version 2 adds that itself; write 'terraform-state-plugin/tfc-token'",
        ),
        ("/spec/kv/0/path", json!("backstage/backend/data/a"), "spec.kv[0].path", "must not begin with `mount`"),
        ("/spec/kv/0/path", json!("metadata/a"), "spec.kv[0].path", "without 'data/' or 'metadata/'"),
        ("/spec/kv/0/path", json!("data"), "spec.kv[0].path", "must not be 'data'"),
        ("/spec/kv/0/data", json!([]), "spec.kv[0].data", "should have at least 1 items"),
        (
            "/spec/kv/0/data/0/secretKeyRef/key",
            json!("a/b"),
            "spec.kv[0].data[0].secretKeyRef.key",
            "must be a key of its data",
        ),
        (
            "/spec/kv/1",
            crate::crds::sample("VaultJwtBinding")["spec"]["kv"][0].clone(),
            "spec.kv[1]",
            "Duplicate value",
        ),
        ("/spec/login/expect/readable/0/path", json!("data/a"), "spec.login.expect.readable[0].path", "write 'a'"),
    ]
}

fn config() -> Vec<Case> {
    vec![
        ("/spec/auth/config/oidcDiscoveryUrl", json!("https://issuer.example"), "spec.auth.config", ONE_SOURCE),
        ("/spec/auth/config", json!({"boundIssuer": "a"}), "spec.auth.config", ONE_SOURCE),
        ("/spec/auth/config", json!({"jwksPairs": []}), "spec.auth.config", ONE_SOURCE),
        (
            "/spec/auth/config",
            json!({"jwksPairs": [{"url": "https://a/jwks"}], "boundIssuer": "a"}),
            "spec.auth.config.boundIssuer",
            "may not be specified when `jwksPairs` is set",
        ),
        (
            "/spec/auth/config",
            json!({"validationPublicKeys": [PUBLIC], "jwksCaRef": {"kind": "Secret", "name": "ca", "key": "ca.crt"}}),
            "spec.auth.config.jwksCaRef",
            "may only be specified when `jwksUrl` is set",
        ),
        (
            "/spec/auth/config",
            json!({"validationPublicKeys": [PUBLIC], "oidcDiscoveryCaRef": {"kind": "Secret", "name": "ca", "key": "ca.crt"}}),
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
            json!({"validationPublicKeys": [format!("{PUBLIC}{PUBLIC}")]}),
            "spec.auth.config.validationPublicKeys[0]",
            "must be one public key or certificate in PEM",
        ),
        (
            "/spec/auth/config",
            json!({"validationPublicKeys": [PUBLIC.replace('\n', "\\n")]}),
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
    ]
}

fn policies() -> Vec<Case> {
    vec![
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
    ]
}

fn login() -> Vec<Case> {
    vec![
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

pub(super) fn cases() -> Vec<Case> {
    [forms(), durations(), names(), kv(), config(), policies(), login()].concat()
}
