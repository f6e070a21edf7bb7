//! What an answer means: found, absent, done, or refused and why. An answer that is not of Vault's shape is never taken
//! for one of Vault's, whatever its status: a proxy's 404 is not an object that is gone.

use std::time::Duration;

use serde_json::{Map, Value};

use super::error::{Call, VaultError};
use super::texts::{ISSUER, KNOWN, KNOWN_LOGIN, known};
use super::transport::{Answer, Body};

const TOO_LARGE: &str = "it is larger than this Vault allows";

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

    /// Whether Vault itself denies it: to this token, or because the token has ended.
    pub(super) fn is_denial(&self) -> bool {
        self.status == 403 && self.errors().is_some()
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
        let silent = self.errors().map_or(body.get("data").is_some(), |errors| errors.is_empty());
        self.status == 404 && silent && !self.is_other_kv_version()
    }

    /// Why this answer is not a success.
    pub(super) fn refusal(&self, call: &Call) -> VaultError {
        let call = call.clone();
        let (status, retry_after) = (self.status, self.retry_after);
        if self.is_other_kv_version() {
            return rejected(call, "the KV mount is not of the version that was expected");
        }
        if self.errors().is_none() && !matches!(status, 307 | 429 | 472..=474 | 500..=599) {
            return self.without_errors(call);
        }
        match status {
            307 | 472..=474 => VaultError::Standby { call },
            400 => self.bad_request(call),
            403 => VaultError::Denied { call, detail: self.denial() },
            404 | 405 => self.no_such_path(call),
            413 => rejected(call, TOO_LARGE),
            // Since 1.21 Vault bounds the parts of a body, and says so with the status of a failure of its own.
            500 if self.says("JSON ") && self.says("exceeds allowed") => rejected(call, TOO_LARGE),
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
        if self.status == 404 && call.is_patch() && (deleted || matches!(self.body, Body::Empty)) {
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

    /// Vault warns when a path has the shape of the other KV version.
    fn is_other_kv_version(&self) -> bool {
        let Body::Json(body) = &self.body else { return false };
        let warnings = body.get("warnings").and_then(Value::as_array);
        let texts = warnings.into_iter().flatten().filter_map(Value::as_str);
        self.status == 404 && texts.into_iter().any(|text| text.starts_with("Invalid path for a versioned"))
    }

    fn no_such_path(&self, call: Call) -> VaultError {
        if call.is_patch() && self.is_absent() {
            return VaultError::CasMismatch { call };
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

#[cfg(test)]
mod tests;
