//! The config of a mount: its fields, where the keys come from, CA bundles, public keys and URLs.

use super::*;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBdjCCARugAwIBAgIUJmWljTKOLDBaVQkh8Uud/q+Q03owCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjQxNjU4MzBaGA8yMTI2MTAzMTE2NTgz
MFowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABIcp
sChkvl2frLnBXbPUPBDKMZwB+IrUozfaE4fRfM3i9PLP+K1NdHJc6Bb58wVllY3Z
UcVLTHdEj1TDqK8BUh6jUzBRMB0GA1UdDgQWBBRfS5y27rnJjuY2QHwN4jY0jkz8
cDAfBgNVHSMEGDAWgBRfS5y27rnJjuY2QHwN4jY0jkz8cDAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0kAMEYCIQCtq+NN3PErwq/SWIu4OyhP5eLVYBnd1Z2T
yxM6gDvQpQIhALCFl73mjPRwn2C0MMTBqng4S1pTkrItEi6LxO6kZONF
-----END CERTIFICATE-----
";
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEhymwKGS+XZ+sucFds9Q8EMoxnAH4
itSjN9oTh9F8zeL08s/4rU10clzoFvnzBWWVjdlRxUtMd0SPVMOorwFSHg==
-----END PUBLIC KEY-----
";

fn fields(desired: &Desired) -> Fields {
    let config = desired.objects.iter().find_map(|object| match object {
        Object::JwtConfig(config) => Some(config.fields.clone()),
        _ => None,
    });
    config.unwrap_or_else(|| panic!("no config: {:#?}", told(desired)))
}

/// A config with only these fields, under the example's grants.
fn config(document: Value) -> Desired {
    changed(&[("/auth/config", document)])
}

fn ca(key: &str) -> Value {
    json!({"kind": "ConfigMap", "name": "ca", "key": key})
}

fn with_ca(value: Lookup) -> Desired {
    let reference = Reference { kind: CaKind::ConfigMap, name: "ca".into(), key: "ca.crt".into() };
    let mut references = example_references();
    references.insert(reference, value);
    let document = json!({"jwksUrl": "http://backstage.backstage.svc:7007/jwks", "jwksCaRef": ca("ca.crt")});
    judge(with(example(), &[("/auth/config", document)]), &references, &example_grants())
}

#[test]
fn all_fields_that_vault_reads_back_are_there_empty_ones_too() {
    let expected = json!({
        "bound_issuer": "http://localhost:7007",
        "default_role": "backstage-backend",
        "jwks_ca_pem": "",
        "jwks_pairs": [],
        "jwks_url": "http://backstage.backstage.svc:7007/api/auth/.well-known/jwks.json",
        "jwt_supported_algs": ["ES256"],
        "jwt_validation_pubkeys": [],
        "namespace_in_state": true,
        "oidc_client_id": "",
        "oidc_discovery_ca_pem": "",
        "oidc_discovery_url": "",
        "oidc_response_mode": "",
        "oidc_response_types": [],
        "provider_config": {},
        "unsupported_critical_cert_extensions": [],
    });
    assert_eq!(serde_json::to_value(fields(&changed(&[]))).unwrap(), expected);
}

#[test]
fn algorithms_are_a_set_and_public_keys_lose_their_final_newline() {
    let document =
        json!({"validationPublicKeys": [PUBLIC_KEY, CERTIFICATE], "supportedAlgorithms": ["RS256", "ES256", "RS256"]});
    let fields = fields(&config(document));
    assert_eq!(fields["jwt_supported_algs"], json!(["ES256", "RS256"]));
    assert_eq!(fields["jwt_validation_pubkeys"], json!([PUBLIC_KEY.trim(), CERTIFICATE.trim()]));
}

#[test]
fn a_ca_bundle_is_taken_to_the_letter() {
    assert_eq!(fields(&with_ca(found(CERTIFICATE)))["jwks_ca_pem"], json!(CERTIFICATE));
    let twice = format!("# ours\n{CERTIFICATE}{CERTIFICATE}");
    assert_eq!(fields(&with_ca(found(twice.as_str())))["jwks_ca_pem"], json!(twice));
}

#[test]
fn each_pair_has_its_own_url_and_ca() {
    let url = "http://backstage.backstage.svc:7007/a";
    assert_eq!(
        fields(&config(json!({"jwksPairs": [{"url": url}]})))["jwks_pairs"],
        json!([{"jwks_url": url, "jwks_ca_pem": ""}])
    );
}

#[test]
fn a_missing_ca_is_waited_for_and_an_unfit_one_is_refused() {
    let field = "spec.auth.config.jwksCaRef";
    for (lookup, kind, says) in [
        (Lookup::NoObject, ProblemKind::ReferenceNotFound, "ConfigMap 'ca' does not exist"),
        (Lookup::NoKey, ProblemKind::ReferenceNotFound, "has no key 'ca.crt'"),
        (found(""), ProblemKind::ReferenceInvalid, "at least one certificate"),
        (found("<html>"), ProblemKind::ReferenceInvalid, "at least one certificate"),
        (found(CERTIFICATE.replace("DzEN", "AAAA")), ProblemKind::ReferenceInvalid, "cut or damaged"),
        (found(&CERTIFICATE[..200]), ProblemKind::ReferenceInvalid, "certificate"),
        (found(vec![0xff, 0xfe]), ProblemKind::ReferenceInvalid, "must be UTF-8"),
        (found(format!("{CERTIFICATE}-----BEGIN EC PRIVATE KEY-----")), ProblemKind::ReferenceInvalid, "private key"),
    ] {
        assert_one_problem(&with_ca(lookup), kind, field, says);
    }
}

#[test]
fn exactly_one_source_of_keys_and_each_ca_with_its_own_url() {
    let url = "http://backstage.backstage.svc:7007/jwks";
    for (document, field, says) in [
        (json!({}), "", "exactly one of"),
        (json!({"jwksUrl": url, "oidcDiscoveryUrl": "http://backstage.backstage.svc:7007"}), "", "exactly one of"),
        (json!({"jwksUrl": url, "validationPublicKeys": [PUBLIC_KEY]}), "", "exactly one of"),
        (json!({"jwksPairs": [{"url": url}], "boundIssuer": "x"}), ".boundIssuer", "together with jwksPairs"),
        (json!({"jwksUrl": url, "boundIssuer": " x"}), ".boundIssuer", "begin or end with a space"),
        (json!({"jwksUrl": url, "defaultRole": "Backstage"}), ".defaultRole", "must be lower case"),
    ] {
        assert_one_problem(&config(document), ProblemKind::Invalid, &format!("spec.auth.config{field}"), says);
    }
    let stray = json!({"validationPublicKeys": [PUBLIC_KEY], "jwksCaRef": ca("a"), "oidcDiscoveryCaRef": ca("b")});
    let told = told(&config(stray));
    assert!(told[0].contains("jwksCaRef: must only be set together with jwksUrl"), "{told:?}");
    assert!(told[1].contains("oidcDiscoveryCaRef: must only be set together with oidcDiscoveryUrl"), "{told:?}");
}

#[test]
fn a_public_key_is_one_whole_block_and_never_private() {
    for (key, says) in [
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----".to_owned(), "private key"),
        (
            "-----BEGIN RSA PUBLIC KEY-----\nAAAA\n-----END RSA PUBLIC KEY-----".to_owned(),
            "'-----BEGIN PUBLIC KEY-----'",
        ),
        ("ssh-ed25519 AAAA".to_owned(), "in PEM"),
        (format!("{PUBLIC_KEY}{PUBLIC_KEY}"), "one PEM block only"),
        (format!("{PUBLIC_KEY}rest"), "nothing before or after"),
        (PUBLIC_KEY.replace("itSj", ""), "cut or damaged"),
        (CERTIFICATE.replace("DzEN", "AAAA"), "cut or damaged"),
    ] {
        let field = "spec.auth.config.validationPublicKeys[0]";
        assert_one_problem(&config(json!({"validationPublicKeys": [key]})), ProblemKind::Invalid, field, says);
    }
}

#[test]
fn a_url_leaves_parsers_nothing_to_disagree_on() {
    for (url, says) in [
        ("ftp://backstage.backstage.svc:7007/", "begins with 'https://'"),
        ("backstage.backstage.svc:7007", "begins with 'https://'"),
        ("HTTP://backstage.backstage.svc:7007", "begins with 'https://'"),
        ("http:backstage.backstage.svc:7007", "begins with 'https://'"),
        ("http:///x", "must name a host"),
        ("http://me:secret@backstage.backstage.svc:7007/", "user or password"),
        ("http://backstage.backstage.svc:7007@evil/", "user or password"),
        ("http://backstage.backstage.svc:7007\\@evil/", "visible ASCII"),
        ("http://backstage.backstage.svc:7007/\n", "visible ASCII"),
        (" http://backstage.backstage.svc:7007/", "begins with 'https://'"),
        ("http://backstage.backstage.svc:7007/a b", "visible ASCII"),
        ("http://１２７.0.0.1/", "visible ASCII"),
        ("http://backstage.backstage.svc:7007/#x", "fragment"),
        ("http://%62ackstage.backstage.svc:7007/", "'host' or 'host:port'"),
        ("http://backstage.backstage.svc:70070/", "must be a URL"),
        ("http://[::1/", "must be a URL"),
    ] {
        assert_one_problem(&config(json!({"jwksUrl": url})), ProblemKind::Invalid, "spec.auth.config.jwksUrl", says);
    }
    let field = "spec.auth.config.oidcDiscoveryUrl";
    for (url, says) in [
        ("http://backstage.backstage.svc:7007/.well-known/openid-configuration", "base URL"),
        ("http://backstage.backstage.svc:7007/?x=1", "query"),
    ] {
        assert_one_problem(&config(json!({"oidcDiscoveryUrl": url})), ProblemKind::Invalid, field, says);
    }
}
