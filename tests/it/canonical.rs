//! The desired fields are in Vault's own form: written to a real Vault, each is read back as it was desired. Otherwise
//! the operator would see drift where there is none, for ever.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vault_jwt_operator::api::VaultJwtBindingSpec;
use vault_jwt_operator::desired::{self, Fields, Granted, Object, References};

use crate::lab::{Issuer, VaultApi, VaultServer};

const PUBLIC_KEY: &str = "\n-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEhymwKGS+XZ+sucFds9Q8EMoxnAH4
itSjN9oTh9F8zeL08s/4rU10clzoFvnzBWWVjdlRxUtMd0SPVMOorwFSHg==
-----END PUBLIC KEY-----\n\n";

fn objects(spec: Value) -> Vec<Object> {
    let spec: VaultJwtBindingSpec = serde_json::from_value(spec).unwrap();
    let desired = desired::desired(&spec, &References::new(), &Granted::unrestricted());
    assert!(desired.problems.is_empty(), "{:#?}", desired.problems);
    desired.objects
}

fn spec(config: &Value, roles: &Value, policies: &Value) -> Value {
    let auth = json!({"mount": "jwt", "config": config});
    json!({"connectionRef": {"name": "main"}, "auth": auth, "roles": roles, "policies": policies})
}

/// Writes the fields and compares all that is read back.
async fn assert_read_back(vault: &VaultApi, path: &str, fields: &Fields) {
    vault.write(path, &json!(fields)).await;
    let found = vault.read(path).await;
    let expected: BTreeMap<&str, Value> = fields.iter().map(|(name, value)| (*name, value.clone())).collect();
    let found: BTreeMap<&str, Value> =
        found.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    assert_eq!(expected, found, "{path}");
}

async fn assert_all_read_back(vault: &VaultApi, spec: Value) {
    for object in objects(spec) {
        match object {
            Object::JwtConfig(config) => assert_read_back(vault, "auth/jwt/config", &config.fields).await,
            Object::Role(role) => assert_read_back(vault, &format!("auth/jwt/role/{}", role.name), &role.fields).await,
            Object::Policy(policy) => {
                // The owner's marker comes first, so the text must be one that can follow a comment.
                let text = format!("# ours\n{}", policy.text);
                let path = format!("sys/policies/acl/{}", policy.name);
                vault.write(&path, &json!({"policy": text})).await;
                assert_eq!(vault.read(&path).await["policy"], json!(text));
            }
            Object::AuthMount(_) | Object::Kv(_) => {}
        }
    }
}

#[tokio::test]
async fn what_is_desired_is_what_vault_reads_back() {
    let server = VaultServer::start(false).await.unwrap();
    let (vault, issuer) = (server.api(), Issuer::start().unwrap());
    vault.enable("auth/jwt", "jwt").await;
    let full = json!({
        "name": "full", "boundAudiences": ["b", "a,c", "b"], "boundSubject": "s, t", "userClaim": "/u/name",
        "boundClaims": [{"claim": "/n", "values": [1, -1, true, "x"]}, {"claim": "g", "values": ["y"]}],
        "userClaimJsonPointer": true, "groupsClaim": "/groups", "claimMappings": [{"claim": "a", "metadataKey": "b"}],
        "tokenPolicies": ["z", "default", "a", "z"], "tokenTtl": "90s", "tokenMaxTtl": "1h30m",
        "tokenExplicitMaxTtl": "2h", "tokenPeriod": "1h", "tokenNoDefaultPolicy": true, "tokenNumUses": 3,
        "tokenType": "Service", "clockSkewLeeway": "Off", "expirationLeeway": "1m", "notBeforeLeeway": "Default",
        "tokenBoundCidrs": [
            "2001:DB8::1/64", "10.0.0.1/32", "10.1.2.3/8", "::1/128", "0.0.0.0/0", "::/0", "::ffff:10.0.0.9",
            "::ffff:11.0.0.0/104", "1:0:0:2:0:0:0:3", "64:ff9b::1.2.3.4",
        ],
    });
    let glob = json!({
        "name": "glob", "boundAudiences": ["a"], "userClaim": "sub", "boundClaimsType": "Glob",
        "boundClaims": [{"claim": "g", "values": ["team-*"]}], "tokenType": "Batch",
    });
    let bare = json!({"name": "bare", "boundAudiences": ["a"], "userClaim": "sub"});
    let policies = json!([
        {"name": "rules", "rules": [
            {"path": "kv/data/{{identity.entity.id}}/*", "capabilities": ["list", "read", "sudo", "patch"]},
            {"path": "kv/+/a", "capabilities": ["deny"]},
        ]},
        {"name": "raw", "hcl": "// x\r\npath \"a\" { capabilities = [\"read\"] }\n\n"},
    ]);
    let keys = json!({
        "validationPublicKeys": [PUBLIC_KEY, PUBLIC_KEY], "boundIssuer": "https://issuer/", "defaultRole": "bare",
        "supportedAlgorithms": ["RS256", "EdDSA", "ES256"],
    });

    assert_all_read_back(&vault, spec(&keys, &json!([full, glob, bare]), &policies)).await;
    for config in [
        json!({"jwksUrl": issuer.jwks_url()}),
        json!({"jwksPairs": [{"url": issuer.jwks_url()}, {"url": format!("{}?second", issuer.jwks_url())}]}),
    ] {
        assert_all_read_back(&vault, spec(&config, &json!([]), &json!([]))).await;
    }
    // A role that another left full is empty again once the bare one is written over it.
    let emptied = json!([{"name": "full", "boundAudiences": ["a"], "userClaim": "sub"}]);
    assert_all_read_back(&vault, spec(&json!({"jwksUrl": issuer.jwks_url()}), &emptied, &json!([]))).await;
}
