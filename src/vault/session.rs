//! One identity on one Vault. Its token is shared by all calls, renewed at two thirds of its life, made anew once when
//! Vault refuses it, and revoked at the end. Logging in is done by one call at a time; the others wait for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::config::ConfigWrites;
use super::error::VaultError;
use super::kv::KvVersion;
use super::limits::Lane;
use super::path::{ApiPath, TokenOperation};
use super::server::Server;
use super::transport::{Answer, Request};
use crate::api::names::MountPath;

/// After a fresh token was refused too, 403 is taken for an answer of Vault's policies for so long.
const TRUST_REFUSAL: Duration = Duration::from_secs(60);

/// Gives a JWT to log in with.
pub trait JwtSource: Send + Sync {
    /// A JWT that is valid now.
    fn jwt(&self) -> BoxFuture<'_, Result<SecretString, VaultError>>;
}

/// How to log in.
pub enum Credentials {
    /// The `kubernetes` or the `jwt` method; on the wire they are the same.
    Jwt {
        /// Where the method is mounted.
        mount: MountPath,
        /// The role.
        role: String,
        /// Where the JWT comes from.
        source: Arc<dyn JwtSource>,
    },
    /// The `approle` method.
    AppRole {
        /// Where the method is mounted.
        mount: MountPath,
        /// The role id.
        role_id: String,
        /// The secret id.
        secret_id: SecretString,
    },
    /// A token that somebody else issues and renews; it is neither renewed nor revoked here.
    Token(SecretString),
}

/// One identity on one Vault. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    server: Server,
    credentials: Credentials,
    login: tokio::sync::Mutex<Login>,
    renew_at: Mutex<Option<Instant>>,
    closed: AtomicBool,
    kv_versions: Mutex<HashMap<MountPath, KvVersion>>,
    config_writes: ConfigWrites,
}

/// The token as it stands, and what is known of refusals.
#[derive(Default)]
struct Login {
    token: Option<Arc<Token>>,
    /// When a token that had just been made was refused.
    refused: Option<Instant>,
}

struct Token {
    secret: SecretString,
    life: Option<Life>,
}

/// When a token ends.
#[derive(Clone, Copy)]
struct Life {
    renewable: bool,
    renew_at: Instant,
    ends: Instant,
}

impl Life {
    /// The life of a lease from now on; none for one that does not end.
    fn of(seconds: u64, renewable: bool) -> Option<Self> {
        let lease = Duration::from_secs(seconds);
        let now = Instant::now();
        (seconds > 0).then(|| Self { renewable, renew_at: now + lease * 2 / 3, ends: now + lease })
    }
}

impl Vault {
    /// An identity on a server. Nothing is sent yet.
    #[must_use]
    pub fn new(server: Server, credentials: Credentials) -> Self {
        Self {
            inner: Arc::new(Inner {
                server,
                credentials,
                login: tokio::sync::Mutex::default(),
                renew_at: Mutex::default(),
                closed: AtomicBool::new(false),
                kv_versions: Mutex::default(),
                config_writes: ConfigWrites::default(),
            }),
        }
    }

    /// Logs in where there is no token, and renews one that is past two thirds of its life.
    ///
    /// # Errors
    /// When Vault cannot be reached, or refuses the login.
    pub async fn authenticate(&self) -> Result<(), VaultError> {
        self.inner.server.check_namespace().await?;
        self.token().await.map(drop)
    }

    /// When the token is renewed next.
    #[must_use]
    pub fn renew_at(&self) -> Option<Instant> {
        *self.inner.renew_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Revokes the token, unless somebody else issued it, and sends nothing from then on.
    pub async fn close(&self) {
        if self.inner.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        let deadline = self.inner.server.deadlines().close;
        let revoke = async {
            let token = self.inner.login.lock().await.token.take();
            if let (Some(token), false) = (token, matches!(self.inner.credentials, Credentials::Token(_))) {
                let request = Request::new("revoke", Method::POST, ApiPath::token(TokenOperation::Revoke), deadline)
                    .lane(Lane::Urgent);
                if self.inner.server.send(&request, Some(&token.secret)).await.is_err() {
                    tracing::warn!("A Vault token could not be revoked; it ends with its TTL");
                }
            }
        };
        // A login under way holds the lock for as long as Vault takes.
        let _ = tokio::time::timeout(deadline, revoke).await;
    }

    pub(super) fn server(&self) -> &Server {
        &self.inner.server
    }

    pub(super) fn config_writes(&self) -> &ConfigWrites {
        &self.inner.config_writes
    }

    pub(super) fn known_kv_version(&self, mount: &MountPath) -> Option<KvVersion> {
        self.inner.kv_versions.lock().unwrap_or_else(PoisonError::into_inner).get(mount).copied()
    }

    pub(super) fn remember_kv_version(&self, mount: &MountPath, version: KvVersion) {
        self.inner.kv_versions.lock().unwrap_or_else(PoisonError::into_inner).insert(mount.clone(), version);
    }

    /// Forgets what version a KV mount is of, when an answer says that it is another one now.
    pub fn forget_kv_version(&self, mount: &MountPath) {
        self.inner.kv_versions.lock().unwrap_or_else(PoisonError::into_inner).remove(mount);
    }

    pub(super) fn request(&self, verb: &'static str, method: Method, path: ApiPath) -> Request {
        Request::new(verb, method, path, self.inner.server.deadlines().call)
    }

    pub(super) async fn read(&self, request: Request) -> Result<Option<Map<String, Value>>, VaultError> {
        self.answer(&request).await?.found(&request.call)
    }

    pub(super) async fn write(&self, request: Request) -> Result<Map<String, Value>, VaultError> {
        self.answer(&request).await?.done(&request.call)
    }

    /// Sends a request; where the token is refused, once more with a new one.
    async fn answer(&self, request: &Request) -> Result<Answer, VaultError> {
        self.inner.server.check_namespace().await?;
        let token = self.token().await?;
        let answer = self.inner.server.send(request, Some(&token.secret)).await?;
        if answer.status != 403 {
            return Ok(answer);
        }
        let Some(token) = self.replace(&token).await? else { return Ok(answer) };
        let answer = self.inner.server.send(request, Some(&token.secret)).await?;
        if answer.status == 403 {
            self.inner.login.lock().await.refused = Some(Instant::now());
        }
        Ok(answer)
    }

    async fn token(&self) -> Result<Arc<Token>, VaultError> {
        let mut login = self.inner.login.lock().await;
        if self.inner.closed.load(Ordering::SeqCst) {
            return Err(VaultError::Closed);
        }
        let now = Instant::now();
        if let Some(token) = &login.token {
            match token.life {
                Some(life) if life.renew_at <= now => {
                    if life.renewable
                        && let Some(renewed) = self.renew(token).await
                    {
                        return Ok(self.keep(&mut login, renewed));
                    }
                }
                _ => return Ok(token.clone()),
            }
        }
        match self.log_in().await {
            Ok(token) => Ok(self.keep(&mut login, token)),
            // An old token that still lives is better than none.
            Err(error) => match login.token.clone().filter(|token| token.life.is_some_and(|life| life.ends > now)) {
                Some(token) => Ok(token),
                None => Err(error),
            },
        }
    }

    fn keep(&self, login: &mut Login, token: Token) -> Arc<Token> {
        *self.inner.renew_at.lock().unwrap_or_else(PoisonError::into_inner) = token.life.map(|life| life.renew_at);
        let token = Arc::new(token);
        login.token = Some(token.clone());
        token
    }

    /// A token in place of one that was refused; none when a new one would be refused as well.
    async fn replace(&self, refused: &Arc<Token>) -> Result<Option<Arc<Token>>, VaultError> {
        let mut login = self.inner.login.lock().await;
        match &login.token {
            // Another call has replaced it already.
            Some(token) if !Arc::ptr_eq(token, refused) => return Ok(Some(token.clone())),
            _ => {}
        }
        if matches!(self.inner.credentials, Credentials::Token(_))
            || self.inner.closed.load(Ordering::SeqCst)
            || login.refused.is_some_and(|at| at.elapsed() < TRUST_REFUSAL)
        {
            return Ok(None);
        }
        let token = self.log_in().await?;
        if let Some(old) = login.token.take() {
            // Refused for lack of a policy, it may still be alive.
            self.revoke(&old).await;
        }
        Ok(Some(self.keep(&mut login, token)))
    }

    async fn revoke(&self, token: &Token) {
        let deadline = self.inner.server.deadlines().close;
        let request = Request::new("revoke", Method::POST, ApiPath::token(TokenOperation::Revoke), deadline);
        // One that is dead already is refused, which is as good.
        let _ = self.inner.server.send(&request, Some(&token.secret)).await;
    }

    async fn log_in(&self) -> Result<Token, VaultError> {
        let (mount, body) = match &self.inner.credentials {
            Credentials::Token(secret) => {
                let request = self.request("look up", Method::GET, ApiPath::token(TokenOperation::Lookup));
                let answer = self.inner.server.send(&request, Some(secret)).await?;
                if !answer.is_success() {
                    return Err(answer.login_refusal(&request.call));
                }
                return Ok(Token { secret: secret.clone(), life: None });
            }
            Credentials::Jwt { mount, role, source } => {
                let jwt = source.jwt().await?;
                (mount, json!({"role": role, "jwt": jwt.expose_secret()}))
            }
            Credentials::AppRole { mount, role_id, secret_id } => {
                (mount, json!({"role_id": role_id, "secret_id": secret_id.expose_secret()}))
            }
        };
        let request = self
            .request("log in at", Method::POST, ApiPath::login(mount))
            .body(body)
            .lane(Lane::Issuer(mount.to_string()));
        let answer = self.inner.server.send(&request, None).await?;
        if !answer.is_success() {
            return Err(answer.login_refusal(&request.call));
        }
        let body = answer.done(&request.call)?;
        let auth = body.get("auth");
        let secret = auth.and_then(|auth| auth.get("client_token")).and_then(Value::as_str);
        let Some(secret) = secret.filter(|secret| !secret.is_empty()) else {
            return Err(VaultError::NotVault { call: request.call, status: 200 });
        };
        Ok(Token { secret: secret.into(), life: life(auth) })
    }

    /// The same token with a new lease; none when it has to be made anew.
    async fn renew(&self, token: &Token) -> Option<Token> {
        let request = self.request("renew", Method::POST, ApiPath::token(TokenOperation::Renew)).body(json!({}));
        let answer = self.inner.server.send(&request, Some(&token.secret)).await.ok()?;
        let body = answer.done(&request.call).ok()?;
        let life = life(body.get("auth"))?;
        // A lease that its maximum cuts short is not worth renewing again.
        let cut = token.life.is_some_and(|old| life.renew_at <= old.ends);
        Some(Token { secret: token.secret.clone(), life: Some(Life { renewable: life.renewable && !cut, ..life }) })
    }
}

fn life(auth: Option<&Value>) -> Option<Life> {
    let seconds = auth.and_then(|auth| auth.get("lease_duration")).and_then(Value::as_u64).unwrap_or(0);
    Life::of(seconds, auth.and_then(|auth| auth.get("renewable")).and_then(Value::as_bool).unwrap_or(false))
}
