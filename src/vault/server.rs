//! One Vault: its address, TLS, namespace and limits, and its health. Cheap to clone; every identity on this Vault
//! shares it, so that they share the connections and the limits too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Client, Method, Url};
use secrecy::SecretString;
use serde_json::Value;

use super::error::VaultError;
use super::limits::{Lane, Limits};
use super::path::ApiPath;
use super::refusal;
use super::tls;
use super::transport::{Body, Request};

/// Where a Vault is and how it is to be treated.
pub struct ServerSettings {
    /// The address, e.g. `https://vault.vault.svc:8200`; a path in front of `/v1` is kept.
    pub address: String,
    /// The namespace; Vault Enterprise, HCP and OpenBao only.
    pub namespace: Option<String>,
    /// PEM certificates that replace the system's CAs.
    pub ca_pem: Option<Vec<u8>>,
    /// PEM certificate and private key that are shown to Vault.
    pub client_identity_pem: Option<SecretString>,
    /// The name in Vault's certificate, when it is not the host of the address.
    pub server_name: Option<String>,
    /// At most this many requests per second.
    pub requests_per_second: u32,
    /// At most this many requests at a time.
    pub concurrent_requests: u32,
}

/// How long an answer is waited for, by kind of call.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Until the connection stands.
    pub connect: Duration,
    /// For each call that is not named below.
    pub call: Duration,
    /// For a config write: Vault fetches the issuer's keys meanwhile, and takes up to 90 s before it gives up.
    pub config_write: Duration,
    /// For the revocation at exit.
    pub close: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            call: Duration::from_secs(10),
            config_write: Duration::from_secs(100),
            close: Duration::from_secs(3),
        }
    }
}

/// One Vault.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    base: Url,
    http: Client,
    namespace: Option<HeaderValue>,
    namespace_works: AtomicBool,
    limits: Limits,
    deadlines: Deadlines,
    sent: AtomicU64,
}

/// What `sys/health` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether Vault is initialised.
    pub initialized: bool,
    /// Whether Vault is sealed.
    pub sealed: bool,
    /// Whether this node is a standby.
    pub standby: bool,
    /// The version, e.g. `1.21.1`.
    pub version: String,
    /// Whether this is Vault Enterprise; OpenBao does not say.
    pub enterprise: Option<bool>,
    /// Vault's clock, in seconds since 1970.
    pub server_time_utc: i64,
    /// The id that all nodes of this Vault share; not told while it is sealed.
    pub cluster_id: Option<String>,
}

impl Server {
    /// A server with the usual deadlines.
    ///
    /// # Errors
    /// When a setting cannot be used; no request is made.
    pub fn new(settings: ServerSettings) -> Result<Self, VaultError> {
        Self::with_deadlines(settings, Deadlines::default())
    }

    /// A server with deadlines of its own.
    ///
    /// # Errors
    /// When a setting cannot be used; no request is made.
    pub fn with_deadlines(settings: ServerSettings, deadlines: Deadlines) -> Result<Self, VaultError> {
        let (base, http) = tls::client(&settings, &deadlines)?;
        let namespace = settings.namespace.map(|name| namespace(name.trim_matches('/'))).transpose()?;
        let limits = Limits::new(settings.requests_per_second, settings.concurrent_requests);
        Ok(Self {
            inner: Arc::new(Inner {
                base,
                http,
                namespace,
                namespace_works: AtomicBool::new(false),
                limits,
                deadlines,
                sent: AtomicU64::new(0),
            }),
        })
    }

    /// Asks for Vault's health. A sealed, uninitialised or standby Vault answers too: the answer says so.
    ///
    /// # Errors
    /// When nothing answers, or what answers is not Vault.
    pub async fn health(&self) -> Result<Health, VaultError> {
        let request = Request::new("read", Method::GET, ApiPath::health(), self.deadlines().call).lane(Lane::Urgent);
        let answer = self.send(&request, None).await?;
        match answer.body {
            Body::Json(body) if body.get("initialized").is_some() && body.get("sealed").is_some() => {
                Ok(Health::read(&body))
            }
            _ => Err(refusal::without_health(&request.call, answer.status, answer.retry_after)),
        }
    }

    /// How many requests have been sent, answered or not.
    #[must_use]
    pub fn requests_sent(&self) -> u64 {
        self.inner.sent.load(Ordering::Relaxed)
    }

    /// Refuses to go on when a namespace is set that this Vault would silently ignore. Asked once.
    pub(super) async fn check_namespace(&self) -> Result<(), VaultError> {
        if self.inner.namespace.is_none() || self.inner.namespace_works.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !self.health().await?.has_namespaces() {
            return Err(VaultError::NamespaceUnsupported);
        }
        self.inner.namespace_works.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn base(&self) -> &Url {
        &self.inner.base
    }

    pub(super) fn http(&self) -> &Client {
        &self.inner.http
    }

    pub(super) fn namespace(&self) -> Option<&HeaderValue> {
        self.inner.namespace.as_ref()
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    pub(super) fn deadlines(&self) -> &Deadlines {
        &self.inner.deadlines
    }

    pub(super) fn count(&self) {
        self.inner.sent.fetch_add(1, Ordering::Relaxed);
    }
}

fn namespace(name: &str) -> Result<HeaderValue, VaultError> {
    match HeaderValue::from_str(name) {
        Ok(value) if !name.is_empty() => Ok(value),
        _ => Err(VaultError::invalid("the Vault namespace is empty or has characters that no header may have")),
    }
}

impl Health {
    fn read(body: &Value) -> Self {
        let flag = |name: &str| body.get(name).and_then(Value::as_bool);
        Self {
            initialized: flag("initialized").unwrap_or(false),
            sealed: flag("sealed").unwrap_or(false),
            standby: flag("standby").unwrap_or(false),
            version: body.get("version").and_then(Value::as_str).unwrap_or_default().chars().take(64).collect(),
            enterprise: flag("enterprise"),
            server_time_utc: body.get("server_time_utc").and_then(Value::as_i64).unwrap_or(0),
            cluster_id: body.get("cluster_id").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned),
        }
    }

    /// Vault Enterprise says so; before it did, its version ended in `+ent`. OpenBao has namespaces since 2.3, and no
    /// `enterprise` in its answer.
    fn has_namespaces(&self) -> bool {
        let mut parts = self.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        self.enterprise.unwrap_or_else(|| self.version.contains("+ent") || version >= (2, 3))
    }
}
