//! Answers of a real Vault, and of what may stand in front of it.

use serde_json::{Value, json};

use super::*;

fn answer(status: u16, body: Body) -> Answer {
    Answer { status, body, retry_after: None }
}

fn errors(status: u16, text: &str) -> Answer {
    answer(status, Body::Json(json!({"errors": [text]})))
}

fn call() -> Call {
    Call { verb: "write", path: "auth/jwt/config".to_owned() }
}

fn patch() -> Call {
    Call { verb: "patch", path: "kv/data/a".to_owned() }
}

#[test]
fn the_status_and_text_decide_what_can_be_done() {
    type Row = (u16, &'static str, fn(&VaultError) -> bool);
    let table: &[Row] = &[
        (307, "", |e| matches!(e, VaultError::Standby { .. })),
        (400, "error checking jwks URL http://h/jwks", |e| matches!(e, VaultError::IssuerUnreachable { .. })),
        (400, "error checking oidc discovery URL", |e| matches!(e, VaultError::IssuerUnreachable { .. })),
        (400, "error checking jwks_ca_pem", |e| matches!(e, VaultError::Rejected { .. })),
        (400, "check-and-set parameter did not match the current version", |e| {
            matches!(e, VaultError::CasMismatch { .. })
        }),
        (400, "Upgrading from non-versioned to versioned data. …", |e| matches!(e, VaultError::Unavailable { .. })),
        (400, "something new", |e| matches!(e, VaultError::Rejected { .. })),
        (403, "1 error occurred:\n\t* permission denied\n\n", |e| matches!(e, VaultError::Denied { detail: None, .. })),
        (403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n", |e| {
            matches!(e, VaultError::Denied { detail: Some(_), .. })
        }),
        (404, "no handler for route \"auth/x/config\". route entry not found.", |e| {
            matches!(e, VaultError::NoMount { .. })
        }),
        (404, "1 error occurred:\n\t* unsupported path\n\n", |e| matches!(e, VaultError::NoMount { .. })),
        (405, "1 error occurred:\n\t* unsupported operation\n\n", |e| matches!(e, VaultError::NoMount { .. })),
        (412, "required index state not present", |e| matches!(e, VaultError::Unavailable { status: 412, .. })),
        (413, "http: request body too large", |e| matches!(e, VaultError::Rejected { .. })),
        (429, "request path \"sys/auth\": rate limit quota exceeded", |e| matches!(e, VaultError::RateLimited { .. })),
        (472, "", |e| matches!(e, VaultError::Standby { .. })),
        (473, "", |e| matches!(e, VaultError::Standby { .. })),
        (500, "JSON string value exceeds allowed length", |e| matches!(e, VaultError::Rejected { .. })),
        (500, "internal error", |e| matches!(e, VaultError::Unavailable { status: 500, .. })),
        (503, "Vault is sealed", |e| matches!(e, VaultError::Sealed { .. })),
        (503, "local node not active but active cluster node not found", |e| {
            matches!(e, VaultError::Unavailable { status: 503, .. })
        }),
    ];
    for (status, text, expected) in table {
        let error = errors(*status, text).refusal(&call());
        assert!(expected(&error), "{status} {text:?} became {error:?}");
    }
}

#[test]
fn an_answer_of_a_proxy_is_never_taken_for_vaults() {
    let call = call();
    let not_vault = |error| matches!(error, VaultError::NotVault { .. });
    for status in [200, 301, 302, 308, 400, 401, 403, 404, 405] {
        assert!(not_vault(answer(status, Body::Foreign).refusal(&call)), "{status}");
    }
    assert!(answer(404, Body::Foreign).found(&call).is_err_and(not_vault));
    assert!(answer(404, Body::Empty).found(&call).is_err_and(not_vault));
    assert!(answer(404, Body::Json(json!({"message": "no such page"}))).found(&call).is_err_and(not_vault));
    assert!(answer(200, Body::Foreign).found(&call).is_err_and(not_vault));
    assert!(answer(200, Body::Foreign).done(&call).is_err_and(not_vault));
    assert!(matches!(answer(502, Body::Foreign).refusal(&call), VaultError::Unavailable { status: 502, .. }));
}

#[test]
fn absent_has_three_shapes() {
    let deleted = json!({"data": {"data": null, "metadata": {"version": 1, "destroyed": true}}});
    let never = json!({"errors": []});
    for body in [&deleted, &never] {
        assert!(answer(404, Body::Json(body.clone())).found(&call()).unwrap().is_none(), "{body}");
    }
    for body in [Body::Json(deleted), Body::Json(never), Body::Empty] {
        assert!(matches!(answer(404, body).refusal(&patch()), VaultError::CasMismatch { .. }));
    }
}

#[test]
fn a_secret_asked_for_on_a_mount_of_the_other_kv_version_is_not_absent() {
    let warnings = ["Invalid path for a versioned K/V secrets engine. …"];
    for body in [json!({"data": null, "warnings": warnings}), json!({"errors": [], "warnings": warnings})] {
        let found = answer(404, Body::Json(body)).found(&call());
        assert!(matches!(found, Err(VaultError::Rejected { .. })), "{:?}", found.err());
    }
}

#[test]
fn only_known_texts_are_passed_on_and_only_their_harmless_part() {
    let shown = |text: &str| match errors(400, text).refusal(&call()) {
        VaultError::Rejected { message, .. } => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        shown("failed to parse policy: 1 error occurred:\n\t* path \"x\": invalid key \"capability\" on line 1\n\n"),
        "failed to parse policy: 1 error occurred: * path \"x\": invalid key \"capability\" on line 1"
    );
    let unknown = "fetching keys: 500 <html>internal-secret</html>";
    assert!(!shown(unknown).contains("internal-secret"));
    let value = "Field validation failed: error converting input for field \"jwks_url\": '' expected type 'string', got \
                 unconvertible type '[]interface {}', value: '[internal-secret]'";
    assert_eq!(shown(value), "the value of jwks_url has the wrong type or is out of range");
    assert!(shown(&format!("failed to parse policy: {}", "é".repeat(5000))).chars().count() <= 301);
}

#[test]
fn a_refused_login_says_why_without_quoting_what_an_issuer_answered() {
    let refused = |status, text: &str| errors(status, text).login_refusal(&call());
    let body =
        "error validating token: error verifying token signature: fetching keys oidc: get keys failed: 404 <html>";
    assert!(matches!(refused(400, body), VaultError::IssuerUnreachable { .. }));
    for (status, text) in [
        (400, "role \"nobody\" could not be found"),
        (400, "invalid role or secret ID"),
        (403, "permission denied"),
        (
            400,
            "error validating token: invalid audience (aud) claim: audience claim does not match any expected audience",
        ),
        (400, "never heard of"),
    ] {
        assert!(matches!(refused(status, text), VaultError::LoginRefused { .. }), "{text}");
    }
    assert!(matches!(refused(503, "Vault is sealed"), VaultError::Sealed { .. }));
    assert!(matches!(answer(403, Body::Foreign).login_refusal(&call()), VaultError::NotVault { .. }));
    let message = refused(400, "never heard of <html>").to_string();
    assert!(!message.contains("html"), "{message}");
}

#[test]
fn a_write_may_answer_with_nothing() {
    assert!(answer(204, Body::Empty).done(&call()).unwrap().is_empty());
    let warned = answer(200, Body::Json(json!({"data": null, "warnings": ["ttl"]}))).done(&call()).unwrap();
    assert_eq!(warned.get("data"), Some(&Value::Null));
}
