//! One identity on one Vault. All callers share its one token: got by a login when it is first needed, renewed at two
//! thirds of its life, made anew once when Vault no longer takes it, and revoked at the end. The login itself is a task
//! of its own, so that a caller who gives up does not leave a token behind that nobody knows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::config_writes::ConfigWrites;
use super::denials::{Denial, Denials};
use super::error::VaultError;
use super::kv::KvVersion;
use super::login::{Gate, Held};
use super::path::ApiPath;
use super::server::Server;
use super::transport::{Answer, Request};
use crate::api::names::MountPath;

/// For so long, the version of a KV mount is not asked again, whatever is found there.
const KV_VERSION_STANDS: Duration = Duration::from_secs(1);

/// Where the JWT for a login comes from; asked at each login.
pub trait JwtSource: Send + Sync {
    /// A JWT that is valid now.
    fn jwt(&self) -> BoxFuture<'_, Result<SecretString, VaultError>>;
}

/// How to log in.
#[derive(Clone)]
pub enum Credentials {
    /// By the `kubernetes` or the `jwt` method: to Vault both logins look the same.
    Jwt {
        /// The method's mount.
        mount: MountPath,
        /// The role.
        role: String,
        /// Where the JWT comes from.
        source: Arc<dyn JwtSource>,
    },
    /// By AppRole.
    AppRole {
        /// The method's mount.
        mount: MountPath,
        /// The role id.
        role_id: String,
        /// The secret id.
        secret_id: SecretString,
    },
    /// A token that somebody else issues and renews; it is neither renewed nor revoked here.
    Token(SecretString),
}

/// One identity on one Vault.
#[derive(Clone)]
pub struct Vault {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) server: Server,
    pub(super) credentials: Credentials,
    /// Whoever logs in or renews holds this: one at a time.
    pub(super) gate: tokio::sync::Mutex<Gate>,
    pub(super) held: Mutex<Option<Arc<Held>>>,
    closed: AtomicBool,
    denials: Mutex<Denials>,
    /// With the time when each was learnt.
    kv_versions: Mutex<BTreeMap<MountPath, (KvVersion, Instant)>>,
    pub(super) kv_version_gate: tokio::sync::Mutex<()>,
    config_writes: ConfigWrites,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Vault {
    /// An identity; nothing is sent yet.
    #[must_use]
    pub fn new(server: Server, credentials: Credentials) -> Self {
        Self {
            inner: Arc::new(Inner {
                server,
                credentials,
                gate: tokio::sync::Mutex::default(),
                held: Mutex::default(),
                closed: AtomicBool::new(false),
                denials: Mutex::default(),
                kv_versions: Mutex::default(),
                kv_version_gate: tokio::sync::Mutex::default(),
                config_writes: ConfigWrites::default(),
            }),
        }
    }

    /// The Vault that this identity is on.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.inner.server
    }

    /// Makes sure of a token: logs in when there is none or it has ended, renews it when it is past two thirds of its
    /// life, and otherwise asks nothing. A failed login is answered from memory for a moment.
    ///
    /// # Errors
    /// `LoginRefused` when Vault refuses the login, and as every call.
    pub async fn authenticate(&self) -> Result<(), VaultError> {
        self.token().await.map(drop)
    }

    /// When the token will want renewal; none without a token, and for one that does not end or is not ours to renew.
    #[must_use]
    pub fn renew_at(&self) -> Option<Instant> {
        self.held().and_then(|held| held.renew_at())
    }

    /// Ends the session: nothing is sent after it, and the token is revoked, unless it came from elsewhere. Takes a
    /// few seconds at most; a token that could not be revoked ends by its own TTL.
    pub async fn close(&self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        let revocation = async {
            // A login on its way is waited for: its token must not stay either.
            let _gate = self.inner.gate.lock().await;
            let held = lock(&self.inner.held).take();
            if let Some(held) = held {
                self.revoke(&held).await;
            }
        };
        // Either way there is nothing more to do.
        let _ = tokio::time::timeout(self.server().deadlines().close, revocation).await;
    }

    /// Forgets which KV version is mounted there, to ask again: after an upgrade, or when calls find the other one.
    pub fn forget_kv_version(&self, mount: &MountPath) {
        lock(&self.inner.kv_versions).remove(mount);
    }

    pub(super) fn config_writes(&self) -> &ConfigWrites {
        &self.inner.config_writes
    }

    pub(super) fn known_kv_version(&self, mount: &MountPath) -> Option<KvVersion> {
        lock(&self.inner.kv_versions).get(mount).map(|(version, _)| *version)
    }

    pub(super) fn learnt_kv_version_just_now(&self, mount: &MountPath) -> bool {
        lock(&self.inner.kv_versions).get(mount).is_some_and(|(_, at)| at.elapsed() < KV_VERSION_STANDS)
    }

    pub(super) fn remember_kv_version(&self, mount: &MountPath, version: KvVersion) {
        lock(&self.inner.kv_versions).insert(mount.clone(), (version, Instant::now()));
    }

    pub(super) fn request(&self, verb: &'static str, method: Method, path: ApiPath) -> Request {
        Request::new(verb, method, path, self.server().deadlines().call)
    }

    /// Reads; none when Vault says that nothing is there.
    pub(super) async fn read(&self, request: Request) -> Result<Option<Map<String, Value>>, VaultError> {
        self.call(&request).await?.found(&request.call)
    }

    /// Writes, patches or deletes; the answer's body, empty when it had none.
    pub(super) async fn write(&self, request: Request) -> Result<Map<String, Value>, VaultError> {
        self.call(&request).await?.done(&request.call)
    }

    pub(super) fn held(&self) -> Option<Arc<Held>> {
        lock(&self.inner.held).clone()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::SeqCst)
    }

    /// Sends a request with the token. A denial is answered by one new login and one repetition: the token may have
    /// been revoked, or the role's policies may have changed since the login. If that does not help, the denial stands
    /// for a while, and ever longer, so that denied objects do not become many logins.
    async fn call(&self, request: &Request) -> Result<Answer, VaultError> {
        let held = self.token().await?;
        let answer = self.send(request, &held).await?;
        let invalid = answer.says("invalid token");
        if !answer.is_denial() || !self.may_log_in_again(&held, invalid) {
            return Ok(answer);
        }
        let fresh = match self.settled(Some(held.serial)).await {
            Ok(fresh) => fresh,
            Err(error) if invalid => return Err(error),
            Err(_) => return Ok(answer),
        };
        let answer = self.send(request, &fresh).await?;
        let mut denials = lock(&self.inner.denials);
        if answer.is_denial() {
            denials.not_cured(Denial::new(answer.says("invalid token")), fresh.serial, Instant::now());
        } else if !invalid {
            denials.cured();
        }
        drop(denials);
        Ok(answer)
    }

    async fn send(&self, request: &Request, held: &Held) -> Result<Answer, VaultError> {
        self.server().send_unless(request, Some(&held.token), || self.is_closed()).await
    }

    fn may_log_in_again(&self, used: &Held, invalid: bool) -> bool {
        let replaced = self.held().is_some_and(|held| held.serial != used.serial);
        let stands = lock(&self.inner.denials).stands(Denial::new(invalid), Instant::now());
        // A token that somebody has replaced meanwhile costs no login.
        !matches!(self.inner.credentials, Credentials::Token(_)) && (replaced || !stands)
    }

    async fn token(&self) -> Result<Arc<Held>, VaultError> {
        match self.held() {
            Some(held) if !held.is_due() && !self.is_closed() => Ok(held),
            _ => self.settled(None).await,
        }
    }

    /// A usable token other than the one with that serial. The work goes on when the caller gives up.
    async fn settled(&self, stale: Option<u64>) -> Result<Arc<Held>, VaultError> {
        let this = self.clone();
        // A task ends early only when the runtime does.
        tokio::spawn(async move { this.settle(stale).await }).await.map_err(|_| VaultError::Closed)?
    }
}
