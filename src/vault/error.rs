//! What can go wrong with a Vault request, enumerated by what the reader can do about it. The texts name the call and
//! the cause; they never hold a token, a body or a secret value.

use std::fmt;
use std::time::Duration;

use super::connect::ConnectFailure;
use crate::api::names::NameError;

/// What was asked of Vault: a verb and the API path below `v1/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What was done, e.g. `read`.
    pub verb: &'static str,
    /// The path, e.g. `auth/jwt/role/backstage`.
    pub path: String,
}

impl Call {
    /// Whether it changes parts of a KV secret: what is absent then is the version that it builds on.
    pub(super) fn is_patch(&self) -> bool {
        self.verb == "patch"
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.path)
    }
}

/// Why a Vault request had no success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are the call, and what the variant's own text shows")]
pub enum VaultError {
    /// Someone has to unseal Vault.
    #[error("cannot {call}: Vault is sealed")]
    Sealed { call: Call },
    /// Someone has to initialise Vault.
    #[error("cannot {call}: Vault is not initialized")]
    NotInitialized { call: Call },
    /// The address leads to a standby that does not forward; it should lead to the active node.
    #[error("cannot {call}: the address leads to a standby of Vault that does not forward requests")]
    Standby { call: Call },
    /// The token may not do this: a Vault policy must allow it.
    #[error("cannot {call}: permission denied{}", .detail.map(|text| format!(": {text}")).unwrap_or_default())]
    Denied { call: Call, detail: Option<&'static str> },
    /// The operator's own login was refused.
    #[error("cannot {call}: Vault refused the login: {message}")]
    LoginRefused { call: Call, message: String },
    /// There is no JWT to log in with.
    #[error("cannot get a JWT to log in to Vault with: {reason}")]
    NoJwt { reason: String },
    /// Nothing of the needed kind is mounted at that path.
    #[error("cannot {call}: no mount of the needed type is there")]
    NoMount { call: Call },
    /// Vault refuses what was sent: the spec must change.
    #[error("cannot {call}: Vault refused it: {message}")]
    Rejected { call: Call, message: String },
    /// Vault cannot reach the issuer, or does not accept what it answers: wait for it.
    #[error(
        "cannot {call}: Vault could not fetch the issuer's keys or discovery document; its server log has the cause"
    )]
    IssuerUnreachable { call: Call },
    /// Somebody else wrote the secret in between: read it again.
    #[error("cannot {call}: the secret was changed in between")]
    CasMismatch { call: Call },
    /// A rate quota of Vault is used up.
    #[error("cannot {call}: a rate limit of Vault is used up")]
    RateLimited { call: Call, retry_after: Option<Duration> },
    /// Vault, or something in front of it, cannot answer now.
    #[error("cannot {call}: Vault answered with status {status}")]
    Unavailable { call: Call, status: u16, retry_after: Option<Duration> },
    /// No connection.
    #[error("cannot {call}: {reason}")]
    Unreachable { call: Call, reason: ConnectFailure },
    /// No answer in time.
    #[error("cannot {call}: no answer within {} s", .after.as_secs_f32())]
    TimedOut { call: Call, after: Duration },
    /// Other calls of the mount wait for its issuer and held its places; nothing was sent.
    #[error("cannot {call}: had no turn within {} s behind calls for which Vault waits for the issuer", .after.as_secs_f32())]
    NoTurn { call: Call, after: Duration },
    /// A newer write came before this one was sent.
    #[error("cannot {call}: a newer write took its place before it was sent")]
    Superseded { call: Call },
    /// What answers at the address is not Vault's API.
    #[error(
        "cannot {call}: the answer (status {status}) is not one of Vault's API: check the address and what is in front of Vault"
    )]
    NotVault { call: Call, status: u16 },
    /// The answer is longer than any that is expected.
    #[error("cannot {call}: the answer is too large")]
    TooLarge { call: Call },
    /// A namespace is configured, and this Vault would ignore it and act in its root namespace.
    #[error(
        "this Vault has no namespaces: it would ignore vaultNamespace and act in its root namespace; leave vaultNamespace out"
    )]
    NamespaceUnsupported,
    /// A setting or a name cannot be used; nothing was sent.
    #[error("{problem}")]
    InvalidRequest { problem: String },
    /// The session was closed; nothing was sent.
    #[error("the session with Vault is closed")]
    Closed,
}

impl From<NameError> for VaultError {
    fn from(error: NameError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl VaultError {
    /// A setting or a name that cannot be used.
    pub(super) fn invalid(problem: impl Into<String>) -> Self {
        Self::InvalidRequest { problem: problem.into() }
    }

    /// How long Vault asks to be left alone, capped.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the same call may succeed later without a change of spec, policy or settings.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Sealed { .. }
                | Self::NotInitialized { .. }
                | Self::Standby { .. }
                | Self::IssuerUnreachable { .. }
                | Self::CasMismatch { .. }
                | Self::RateLimited { .. }
                | Self::Unavailable { .. }
                | Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::NoTurn { .. }
                | Self::Superseded { .. }
                | Self::Closed
        )
    }
}
