//! The life of a token: login, renewal, revocation. One at a time per identity; a failure is remembered for a moment,
//! so that a thousand callers do not become a thousand logins.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::error::{Call, VaultError};
use super::limits::Lane;
use super::path::{ApiPath, TokenOperation};
use super::session::{Credentials, Vault, lock};
use crate::api::names::MountPath;

/// The pause after a failed login, doubled after each further one up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A token and its life.
pub(super) struct Held {
    pub(super) token: SecretString,
    /// Counts logins, so that a caller can say which token was no good.
    pub(super) serial: u64,
    since: Instant,
    life: Option<Duration>,
    /// The life it had at the login: one that is renewed to much less is near its maximum, and a new one is needed.
    first_life: Option<Duration>,
    renewable: bool,
    origin: Origin,
}

/// Whose a token is, and so what may be done with it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Our login's: renewed and revoked by us.
    Login,
    /// Our login's, but a batch token: neither can be done.
    Batch,
    /// Somebody else's.
    Given,
}

/// What whoever logs in must know of earlier attempts.
#[derive(Default)]
pub(super) struct Gate {
    serial: u64,
    failure: Option<Failure>,
}

struct Failure {
    error: VaultError,
    until: Instant,
    pause: Duration,
}

impl Held {
    pub(super) fn renew_at(&self) -> Option<Instant> {
        let life = self.life.filter(|_| self.origin != Origin::Given)?;
        Some(self.since + life * 2 / 3)
    }

    fn has_ended(&self) -> bool {
        self.life.is_some_and(|life| Instant::now() >= self.since + life)
    }

    /// Whether it must be looked after before it is used: renewed, or replaced.
    pub(super) fn is_due(&self) -> bool {
        self.has_ended() || self.renew_at().is_some_and(|at| Instant::now() >= at)
    }
}

impl Gate {
    fn recent(&self) -> Option<VaultError> {
        let failure = self.failure.as_ref().filter(|failure| Instant::now() < failure.until)?;
        Some(failure.error.clone())
    }

    fn remember(&mut self, error: &VaultError) {
        let pause = self.failure.as_ref().map_or(FIRST_PAUSE, |last| (last.pause * 2).min(LONGEST_PAUSE));
        self.failure = Some(Failure { error: error.clone(), until: Instant::now() + pause, pause });
    }
}

impl Vault {
    /// A usable token other than the one with that serial, by the cheapest means that will do.
    pub(super) async fn settle(&self, stale: Option<u64>) -> Result<Arc<Held>, VaultError> {
        let mut gate = self.inner.gate.lock().await;
        if self.is_closed() {
            return Err(VaultError::Closed);
        }
        let held = self.held();
        let usable = held.clone().filter(|held| Some(held.serial) != stale && !held.has_ended());
        if let Some(held) = usable.clone().filter(|held| !held.is_due()) {
            return Ok(held);
        }
        if let Some(error) = gate.recent() {
            // It is good for a while yet, although it could not be renewed.
            return usable.ok_or(error);
        }
        let made = match &usable {
            Some(held) => self.renew_or_log_in(held, gate.serial + 1).await,
            None => self.log_in(gate.serial + 1).await,
        };
        match made {
            Ok(fresh) => {
                gate.serial = fresh.serial;
                gate.failure = None;
                let fresh = Arc::new(fresh);
                *lock(&self.inner.held) = Some(Arc::clone(&fresh));
                if let Some(old) = held.filter(|old| old.serial != fresh.serial) {
                    // It may still live: denied by policy, or near the end of its life.
                    self.revoke(&old).await;
                }
                Ok(fresh)
            }
            Err(error) => {
                gate.remember(&error);
                usable.ok_or(error)
            }
        }
    }

    /// Renews, and logs in anew when the token cannot be renewed any more or gains too little by it.
    async fn renew_or_log_in(&self, held: &Held, serial: u64) -> Result<Held, VaultError> {
        if held.renewable && held.origin == Origin::Login {
            match self.renew(held).await {
                Ok(renewed) if renewed.life.is_none_or(|life| Some(life * 2) >= held.first_life) => return Ok(renewed),
                Err(error) if error.is_transient() && !matches!(error, VaultError::Unavailable { status: 500, .. }) => {
                    return Err(error);
                }
                // Near its maximum, or (500) its role is gone.
                _ => {}
            }
        }
        self.log_in(serial).await
    }

    async fn renew(&self, held: &Held) -> Result<Held, VaultError> {
        let request = self.request("renew", Method::POST, ApiPath::token(TokenOperation::Renew)).body(json!({}));
        let body = self.server().send(&request, Some(&held.token)).await?.done(&request.call)?;
        let renewed = Held::from_auth(&body, held.serial, request.call)?;
        Ok(Held { first_life: held.first_life, ..renewed })
    }

    async fn log_in(&self, serial: u64) -> Result<Held, VaultError> {
        self.server().check_namespace().await?;
        match &self.inner.credentials {
            Credentials::Token(token) => self.look_up(token, serial).await,
            Credentials::Jwt { mount, role, source } => {
                let deadline = self.server().deadlines().call;
                let Ok(jwt) = tokio::time::timeout(deadline, source.jwt()).await else {
                    return Err(VaultError::NoJwt { reason: format!("no answer within {} s", deadline.as_secs_f32()) });
                };
                let jwt = jwt?;
                self.post_login(mount, json!({"role": role, "jwt": jwt.expose_secret()}), serial).await
            }
            Credentials::AppRole { mount, role_id, secret_id } => {
                let body = json!({"role_id": role_id, "secret_id": secret_id.expose_secret().trim()});
                self.post_login(mount, body, serial).await
            }
        }
    }

    async fn post_login(&self, mount: &MountPath, body: Value, serial: u64) -> Result<Held, VaultError> {
        let request = self.request("log in by", Method::POST, ApiPath::login(mount)).body(body);
        let request = request.lane(Lane::Issuer(mount.to_string()));
        let answer = self.server().send(&request, None).await?;
        if !answer.is_success() {
            return Err(answer.login_refusal(&request.call));
        }
        Held::from_auth(&answer.done(&request.call)?, serial, request.call)
    }

    /// Looks at a given token once. One that may not even look at itself (it lacks the policy `default`) is taken.
    async fn look_up(&self, token: &SecretString, serial: u64) -> Result<Held, VaultError> {
        let token: SecretString = token.expose_secret().trim().into();
        let request = self.request("look up", Method::GET, ApiPath::token(TokenOperation::Lookup));
        let answer = self.server().send(&request, Some(&token)).await?;
        if answer.status == 403 && answer.says("invalid token") {
            let message = "the token is invalid or has ended".to_owned();
            return Err(VaultError::LoginRefused { call: request.call, message });
        }
        let ttl = match answer.done(&request.call) {
            Ok(body) => body.get("data").and_then(|data| data.get("ttl")).and_then(Value::as_u64).unwrap_or(0),
            Err(VaultError::Denied { .. }) => 0,
            Err(error) => return Err(error),
        };
        let life = life(ttl);
        let since = Instant::now();
        Ok(Held { token, serial, since, life, first_life: life, renewable: false, origin: Origin::Given })
    }

    /// Revokes a token of ours, at once and without waiting for a place. A failure leaves it to its TTL.
    pub(super) async fn revoke(&self, held: &Held) {
        if held.origin != Origin::Login || held.has_ended() {
            return;
        }
        let request = self.request("revoke", Method::POST, ApiPath::token(TokenOperation::Revoke));
        let request = request.lane(Lane::Urgent).deadline(self.server().deadlines().close);
        let revoked =
            self.server().send(&request, Some(&held.token)).await.and_then(|answer| answer.done(&request.call));
        if let Err(error) = revoked {
            tracing::debug!(%error, "a Vault token was not revoked and ends by its TTL");
        }
    }
}

impl Held {
    fn from_auth(body: &Map<String, Value>, serial: u64, call: Call) -> Result<Self, VaultError> {
        let auth = body.get("auth");
        let field = |name: &str| auth.and_then(|auth| auth.get(name));
        let token = field("client_token").and_then(Value::as_str).filter(|token| !token.is_empty());
        let Some(token) = token else { return Err(VaultError::NotVault { call, status: 200 }) };
        let batch = field("token_type").and_then(Value::as_str) == Some("batch");
        let life = life(field("lease_duration").and_then(Value::as_u64).unwrap_or(0));
        Ok(Self {
            token: token.into(),
            serial,
            since: Instant::now(),
            life,
            first_life: life,
            renewable: field("renewable").and_then(Value::as_bool).unwrap_or(false),
            origin: if batch { Origin::Batch } else { Origin::Login },
        })
    }
}

/// 0 stands for a token that does not end; one that ends in centuries is the same, and cannot be added to a clock.
fn life(seconds: u64) -> Option<Duration> {
    (1..=100 * 365 * 86_400).contains(&seconds).then(|| Duration::from_secs(seconds))
}
