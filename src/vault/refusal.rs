//! What an answer without success means. Vault's own text reaches an error only from a list of known, harmless ones,
//! cleaned and cut: a body may quote whatever an issuer or a proxy answered.

use std::time::Duration;

use serde_json::{Map, Value};

use super::error::{Call, VaultError};
use super::transport::{Answer, Body};

/// The longest text of Vault's that is passed on.
const LONGEST_MESSAGE: usize = 300;

/// Beginnings of texts that Vault answers with status 400, and what is passed on of them.
const KNOWN: &[(&str, Show)] = &[
    ("failed to parse policy: ", Show::Whole),
    ("'policy' parameter not supplied or empty", Show::Whole),
    ("cannot update ", Show::Whole),
    ("cannot delete ", Show::Whole),
    ("invalid 'token_type'", Show::Whole),
    ("invalid 'role_type'", Show::Whole),
    ("invalid 'bound_claims_type'", Show::Whole),
    ("'token_", Show::Whole),
    ("'period' of ", Show::Whole),
    ("ttl should not be greater than max ttl", Show::Whole),
    ("a user claim must be defined on the role", Show::Whole),
    ("must have at least one bound constraint", Show::Whole),
    ("'allowed_redirect_uris' must be set", Show::Whole),
    ("metadata key ", Show::Whole),
    ("multiple keys are mapped to metadata key ", Show::Whole),
    ("claim is not a string", Show::Known("a glob bound claim has a value that is not a string")),
    ("exactly one of 'jwt_validation_pubkeys'", Show::Whole),
    ("both 'oidc_client_id' and ", Show::Whole),
    ("'oidc_discovery_url' must be set for OIDC", Show::Whole),
    ("CA PEMs must be provided as part of the 'jwks_pairs'", Show::Whole),
    ("Bound issuer is not supported for use with 'jwks_pairs'", Show::Whole),
    ("error checking jwks_ca_pem", Show::Known("the CA bundle for the JWKS URL holds no usable PEM certificate")),
    ("invalid jwks_pairs: jwks_pairs must be provided", Show::Whole),
    ("error parsing public key: ", Show::Whole),
    ("invalid jwt_supported_algs: ", Show::Whole),
    ("invalid response_types ", Show::Whole),
    ("invalid response_mode: ", Show::Whole),
    ("invalid provider_config: ", Show::Whole),
    ("Field validation failed: error converting input for field ", Show::Field),
    ("error converting input for field ", Show::Field),
    ("path is already in use at ", Show::Whole),
    ("existing mount at ", Show::Whole),
    ("plugin not found in the catalog: ", Show::Whole),
    ("check-and-set parameter required for this call", Show::Whole),
    ("no data provided", Show::Whole),
    ("missing data fields", Show::Whole),
    ("cannot write to a path ending in '/'", Show::Whole),
];

/// Beginnings of texts that a login is refused with, and what is passed on of them.
const KNOWN_LOGIN: &[(&str, Show)] = &[
    ("could not load configuration", Show::Known("the auth mount has no config")),
    ("missing role", Show::Whole),
    ("role \"", Show::Whole),
    ("role with oidc role_type is not allowed", Show::Whole),
    ("invalid role name", Show::Whole),
    ("missing token", Show::Whole),
    ("invalid role ID", Show::Whole),
    ("invalid role or secret ID", Show::Whole),
    ("invalid secret id", Show::Whole),
    ("missing secret_id", Show::Whole),
    ("service account name not authorized", Show::Whole),
    ("namespace not authorized", Show::Whole),
    ("invalid audience (aud) claim", Show::Whole),
    ("lookup failed: service account unauthorized", Show::Whole),
    ("error configuring token validator: unsupported config type", Show::Whole),
    (
        "error validating token: error verifying token signature: failed to verify id token signature",
        Show::Known("no key of the issuer verifies the token's signature"),
    ),
    ("error validating token: error verifying token signature: no known key", Show::Whole),
    ("error validating token: invalid ", Show::Whole),
    ("error validating token: no issued at (iat)", Show::Whole),
    ("audience claim found in JWT but no audiences bound to the role", Show::Whole),
    ("claim \"", Show::Whole),
    ("failed to fetch groups: ", Show::Whole),
    ("error validating claims: claim \"", Show::Whole),
    ("auth methods cannot create root tokens", Show::Whole),
    (
        "permission denied",
        Show::Known(
            "permission denied: no auth method is mounted there, or it does not admit this address or identity",
        ),
    ),
];

/// Texts that mean that the issuer, and not what was sent, is the cause.
const ISSUER: &[&str] = &[
    "error checking jwks URL",
    "error checking oidc discovery URL",
    "error validating token: error verifying token signature: fetching keys",
    "error configuring token validator: keyset configuration error",
];

/// How much of a known text is passed on.
enum Show {
    /// All of it.
    Whole,
    /// The name of the field; the rest quotes its value.
    Field,
    /// A sentence of our own.
    Known(&'static str),
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The texts in `errors`; none when the body is not of Vault's shape.
    fn errors(&self) -> Option<Vec<&str>> {
        let Body::Json(body) = &self.body else { return None };
        Some(body.get("errors")?.as_array()?.iter().filter_map(Value::as_str).collect())
    }

    pub(super) fn says(&self, text: &str) -> bool {
        self.errors().is_some_and(|errors| errors.iter().any(|error| error.contains(text)))
    }

    /// The answer to a read: its body, or none when Vault says that nothing is there. A 404 counts only when it is
    /// Vault's own: one from a proxy must not look like an object that is gone.
    pub(super) fn found(self, call: &Call) -> Result<Option<Map<String, Value>>, VaultError> {
        if self.is_absent() {
            return Ok(None);
        }
        if !self.is_success() {
            return Err(self.refusal(call));
        }
        match self.body {
            Body::Json(Value::Object(body)) => Ok(Some(body)),
            _ => Err(VaultError::NotVault { call: call.clone(), status: self.status }),
        }
    }

    /// The answer to a write: its body, empty when it had none.
    pub(super) fn done(self, call: &Call) -> Result<Map<String, Value>, VaultError> {
        if !self.is_success() {
            return Err(self.refusal(call));
        }
        match self.body {
            Body::Json(Value::Object(body)) => Ok(body),
            Body::Empty => Ok(Map::new()),
            _ => Err(VaultError::NotVault { call: call.clone(), status: self.status }),
        }
    }

    /// 404 with no error text: never existed (`errors: []`), or a deleted version of a KV secret (`data`).
    pub(super) fn is_absent(&self) -> bool {
        let Body::Json(body) = &self.body else { return false };
        let warned = body.get("warnings").and_then(Value::as_array).is_some_and(|warnings| !warnings.is_empty());
        let silent = self.errors().map_or(body.get("data").is_some(), |errors| errors.is_empty());
        self.status == 404 && silent && !warned
    }

    /// Why this answer is not a success.
    pub(super) fn refusal(&self, call: &Call) -> VaultError {
        let call = call.clone();
        let (status, retry_after) = (self.status, self.retry_after);
        if self.errors().is_none() && !matches!(status, 307 | 429 | 472..=474 | 500..=599) {
            return self.without_errors(call);
        }
        match status {
            307 | 472..=474 => VaultError::Standby { call },
            400 => self.bad_request(call),
            403 => VaultError::Denied { call, detail: self.denial() },
            404 | 405 => self.no_such_path(call),
            413 => rejected(call, "it is too large"),
            429 => VaultError::RateLimited { call, retry_after },
            503 if self.says("Vault is sealed") => VaultError::Sealed { call },
            503 if self.says("not initialized") => VaultError::NotInitialized { call },
            // 412: a replica that has not caught up yet.
            412 | 500..=599 => VaultError::Unavailable { call, status, retry_after },
            _ => VaultError::NotVault { call, status },
        }
    }

    /// Why a login is refused: every 400 and 403 is the login's.
    pub(super) fn login_refusal(&self, call: &Call) -> VaultError {
        let Some(errors) = self.errors().filter(|_| matches!(self.status, 400 | 403 | 404)) else {
            return self.refusal(call);
        };
        let text = errors.first().copied().unwrap_or_default();
        if ISSUER.iter().any(|known| text.starts_with(known)) {
            return VaultError::IssuerUnreachable { call: call.clone() };
        }
        let message = known(KNOWN_LOGIN, text).unwrap_or_else(|| {
            format!("status {}, with a text that is not passed on; see Vault's audit log", self.status)
        });
        VaultError::LoginRefused { call: call.clone(), message }
    }

    fn without_errors(&self, call: Call) -> VaultError {
        let deleted = matches!(&self.body, Body::Json(body) if body.get("data").is_some());
        // A PATCH of a KV secret that is not there has an empty 404, and of a deleted one its metadata.
        if self.status == 404 && (deleted || matches!(self.body, Body::Empty)) {
            return VaultError::CasMismatch { call };
        }
        VaultError::NotVault { call, status: self.status }
    }

    fn denial(&self) -> Option<&'static str> {
        if self.says("invalid token") {
            Some("the token is invalid or has ended")
        } else if self.says("preflight capability check") {
            Some("nothing is mounted there, or this identity has no right below it")
        } else {
            None
        }
    }

    fn no_such_path(&self, call: Call) -> VaultError {
        if self.is_absent() {
            return VaultError::CasMismatch { call };
        }
        if matches!(&self.body, Body::Json(body) if body.get("warnings").is_some_and(|warnings| !warnings.is_null())) {
            return rejected(call, "the KV mount is not of the version that was expected");
        }
        if self.says("namespace not found") {
            return rejected(call, "the Vault namespace does not exist");
        }
        VaultError::NoMount { call }
    }

    fn bad_request(&self, call: Call) -> VaultError {
        let errors = self.errors().unwrap_or_default();
        let text = errors.first().copied().unwrap_or_default();
        if ISSUER.iter().any(|known| text.starts_with(known)) {
            return VaultError::IssuerUnreachable { call };
        }
        if text.starts_with("check-and-set parameter did not match") {
            return VaultError::CasMismatch { call };
        }
        if text.starts_with("Upgrading from non-versioned to versioned") {
            return VaultError::Unavailable { call, status: self.status, retry_after: None };
        }
        match known(KNOWN, text) {
            Some(message) => VaultError::Rejected { call, message },
            None => rejected(call, "status 400, with a text that is not passed on; see Vault's audit log"),
        }
    }
}

/// Health without a health body: a gateway's answer, or no Vault at all.
pub(super) fn without_health(call: &Call, status: u16, retry_after: Option<Duration>) -> VaultError {
    let call = call.clone();
    match status {
        307 => VaultError::Standby { call },
        500..=599 => VaultError::Unavailable { call, status, retry_after },
        _ => VaultError::NotVault { call, status },
    }
}

fn rejected(call: Call, message: &str) -> VaultError {
    VaultError::Rejected { call, message: message.to_owned() }
}

fn known(table: &[(&str, Show)], text: &str) -> Option<String> {
    let (_, show) = table.iter().find(|(beginning, _)| text.starts_with(beginning))?;
    Some(match show {
        Show::Whole => clean(text),
        Show::Field => {
            let field: String = text.split('"').nth(1).unwrap_or_default().chars().take(64).collect();
            format!("the value of {} has the wrong type or is out of range", clean(&field))
        }
        Show::Known(sentence) => (*sentence).to_owned(),
    })
}

/// One line, bounded.
fn clean(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = text.char_indices().nth(LONGEST_MESSAGE) {
        text.truncate(end);
        text.push('…');
    }
    text
}
