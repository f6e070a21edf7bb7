//! The live connections: for each `VaultConnection` one server with its limits, and one token per identity. A changed
//! spec or credential makes a new one and revokes the token of the old one.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use futures::future::join_all;
use kube::Client;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::identity::{Identity, identity, lookup};
use crate::api::conditions::{ConditionType, Reason};
use crate::api::connection::VaultConnectionSpec;
use crate::api::references::CaKind;
use crate::controller::outcome::{Class, Issue};
use crate::sync::Mounts;
use crate::vault::{Credentials, Server, ServerSettings, Vault};

/// One identity on one Vault.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) vault: Vault,
    pub(crate) mounts: Arc<Mounts>,
}

/// One live connection.
pub(crate) struct Connection {
    pub(crate) server: Server,
    identity: Identity,
    /// Of the spec alone, and of the spec and everything it refers to.
    spec: u64,
    fingerprint: u64,
    sessions: Mutex<HashMap<Option<String>, Session>>,
    /// Passes over its bindings at once.
    passes: Arc<Semaphore>,
    /// What the last look at it found, when that was not good.
    trouble: RwLock<Option<Issue>>,
}

impl Connection {
    /// The session for bindings of a namespace.
    pub(crate) fn session(&self, namespace: &str) -> Session {
        let (key, credentials): (_, Box<dyn Fn() -> Credentials + '_>) = match &self.identity {
            Identity::Shared(make) => (None, Box::new(make)),
            Identity::PerNamespace(make) => (Some(namespace.to_owned()), Box::new(|| make(namespace))),
        };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions
            .entry(key)
            .or_insert_with(|| Session {
                vault: Vault::new(self.server.clone(), credentials()),
                mounts: Arc::default(),
            })
            .clone()
    }

    /// The one session of all bindings, where there is one.
    pub(crate) fn shared(&self) -> Option<Session> {
        matches!(self.identity, Identity::Shared(_)).then(|| self.session(""))
    }

    /// A place for one pass over a binding of it.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.passes.clone().acquire_owned().await.ok()
    }

    pub(crate) fn trouble(&self) -> Option<Issue> {
        self.trouble.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records what a look found; says whether it changed between good and not good.
    pub(crate) fn set_trouble(&self, issue: Option<Issue>) -> bool {
        let mut trouble = self.trouble.write().unwrap_or_else(PoisonError::into_inner);
        let changed = trouble.is_some() != issue.is_some();
        *trouble = issue;
        changed
    }

    /// Revokes all its tokens.
    pub(crate) async fn close(&self) {
        let sessions: Vec<Session> = {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.drain().map(|(_, session)| session).collect()
        };
        join_all(sessions.iter().map(|session| session.vault.close())).await;
    }
}

/// A connection that was opened, or why it could not be.
type Opened = Result<Arc<Connection>, Issue>;

/// What came of opening a connection.
pub(crate) struct Opening {
    pub(crate) live: Arc<Connection>,
    /// It was just made: those that use it do not know of it.
    pub(crate) new: bool,
    /// Why it could not be seen whether its credentials are still the same.
    pub(crate) unseen: Option<Issue>,
}

/// All connections that were looked at, by name.
#[derive(Default)]
pub(crate) struct Connections(RwLock<HashMap<String, Opened>>);

impl Connections {
    /// The connection of that name; none before its first look.
    pub(crate) fn get(&self, name: &str) -> Option<Opened> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Records that a connection cannot be opened: nothing goes on with its old credentials. Says whether that is new.
    pub(crate) async fn fail(&self, name: &str, issue: Issue) -> bool {
        let old = self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Err(issue.clone()));
        match old {
            Some(Ok(live)) => live.close().await,
            Some(Err(before)) => return before != issue,
            None => {}
        }
        true
    }

    pub(crate) async fn remove(&self, name: &str) {
        let old = self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(Ok(live)) = old {
            live.close().await;
        }
    }

    /// Ends the sessions of bindings of a namespace that is gone.
    pub(crate) async fn forget_namespace(&self, namespace: &str) {
        let all: Vec<Arc<Connection>> = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .filter_map(|live| live.clone().ok())
            .collect();
        let key = Some(namespace.to_owned());
        let take = |live: &Arc<Connection>| live.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        let sessions: Vec<Session> = all.iter().filter_map(take).collect();
        join_all(sessions.iter().map(|session| session.vault.close())).await;
    }

    /// Revokes every token.
    pub(crate) async fn close(&self) {
        let all: Vec<Arc<Connection>> =
            self.0.write().unwrap_or_else(PoisonError::into_inner).drain().filter_map(|(_, live)| live.ok()).collect();
        join_all(all.iter().map(|live| live.close())).await;
    }

    /// The live connection for a spec; what it replaces is closed. While the apiserver is away a connection of the same
    /// spec goes on as it is.
    pub(crate) async fn open(
        &self,
        name: &str,
        spec: &VaultConnectionSpec,
        operator: &Operator,
    ) -> Result<Opening, Issue> {
        let live = self.get(name).and_then(Result::ok);
        let prepared = match prepare(spec, operator).await {
            Ok(prepared) => prepared,
            Err(issue) => {
                let same = live.filter(|live| issue.class == Class::Unavailable && live.spec == spec_hash(spec));
                return same.map(|live| Opening { live, new: false, unseen: Some(issue.clone()) }).ok_or(issue);
            }
        };
        if let Some(live) = live.filter(|live| live.fingerprint == prepared.fingerprint) {
            return Ok(Opening { live, new: false, unseen: None });
        }
        let live = Arc::new(prepared.build(operator.concurrency)?);
        let old = self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Ok(live.clone()));
        if let Some(Ok(old)) = old {
            old.close().await;
        }
        Ok(Opening { live, new: true, unseen: None })
    }
}

/// What the operator itself is in the cluster.
#[derive(Clone)]
pub(crate) struct Operator {
    pub(crate) client: Client,
    /// Its ServiceAccount, where a token of it has to be requested: namespace and name.
    pub(crate) service_account: Option<(String, String)>,
    /// Passes over the bindings of one connection at once.
    pub(crate) concurrency: u16,
}

/// A connection before it is made: what it is made from, and the fingerprint of that.
struct Prepared {
    spec: u64,
    fingerprint: u64,
    settings: ServerSettings,
    identity: Identity,
}

impl Prepared {
    fn build(self, passes: u16) -> Result<Connection, Issue> {
        let server = Server::new(self.settings).map_err(|error| {
            Issue::new(Class::Rejected, ConditionType::Reachable, Reason::Invalid, error.to_string())
        })?;
        Ok(Connection {
            server,
            identity: self.identity,
            spec: self.spec,
            fingerprint: self.fingerprint,
            sessions: Mutex::default(),
            passes: Arc::new(Semaphore::new(passes.max(1).into())),
            trouble: RwLock::default(),
        })
    }
}

/// Grants are no part of a connection's identity: changing them must not cost a login.
fn spec_hash(spec: &VaultConnectionSpec) -> u64 {
    let mut hasher = DefaultHasher::new();
    let bare = VaultConnectionSpec { grants: Vec::new(), ..spec.clone() };
    serde_json::to_string(&bare).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

async fn prepare(spec: &VaultConnectionSpec, operator: &Operator) -> Result<Prepared, Issue> {
    let spec_hash = spec_hash(spec);
    let mut hasher = DefaultHasher::new();
    spec_hash.hash(&mut hasher);
    let client = &operator.client;
    let tls = spec.tls.clone().unwrap_or_default();
    let mut ca_pem = None;
    if let Some(ca) = &tls.ca_ref {
        let pem = lookup(client, ca.kind, &ca.namespace, &ca.name, &ca.key, "spec.tls.caRef").await?;
        pem.expose_secret().hash(&mut hasher);
        ca_pem = Some(pem.expose_secret().as_bytes().to_vec());
    }
    let mut client_identity_pem = None;
    if let Some(pair) = &tls.client_certificate_ref {
        let field = "spec.tls.clientCertificateRef";
        let certificate = lookup(client, CaKind::Secret, &pair.namespace, &pair.name, "tls.crt", field).await?;
        let key = lookup(client, CaKind::Secret, &pair.namespace, &pair.name, "tls.key", field).await?;
        let pem = format!("{}\n{}", certificate.expose_secret(), key.expose_secret());
        pem.hash(&mut hasher);
        client_identity_pem = Some(SecretString::from(pem));
    }
    let (identity, secret) = identity(&spec.auth, operator).await?;
    secret.map(|secret| secret.expose_secret().to_owned()).hash(&mut hasher);
    let settings = ServerSettings {
        address: spec.address.clone(),
        namespace: spec.vault_namespace.clone(),
        ca_pem,
        client_identity_pem,
        server_name: tls.server_name,
        requests_per_second: u32::try_from(spec.limits.requests_per_second).unwrap_or(1).max(1),
        concurrent_requests: u32::try_from(spec.limits.concurrent_requests).unwrap_or(1).max(1),
    };
    Ok(Prepared { spec: spec_hash, fingerprint: hasher.finish(), settings, identity })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controller::stand_in::ApiServer;

    fn spec(address: &str) -> VaultConnectionSpec {
        let reference = json!({"namespace": "vault", "name": "token", "key": "token"});
        serde_json::from_value(json!({"address": address, "auth": {"token": {"secretRef": reference}}})).unwrap()
    }

    #[tokio::test]
    async fn a_failed_read_of_its_credentials_leaves_a_live_connection_as_it_is() {
        let apiserver = ApiServer::start().await;
        let secret =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "data": {"token": "dA=="}});
        apiserver.answer("/api/v1/namespaces/vault/secrets/token", 200, &secret);
        let operator = Operator { client: apiserver.client(), service_account: None, concurrency: 1 };
        let connections = Connections::default();
        let spec = spec("http://127.0.0.1:1");
        let first = connections.open("main", &spec, &operator).await.unwrap();
        assert!(first.new && first.unseen.is_none());

        apiserver.answer("/api/v1/namespaces/vault/secrets/token", 500, &json!({"kind": "Status", "code": 500}));
        let again = connections.open("main", &spec, &operator).await.unwrap();
        assert!(Arc::ptr_eq(&first.live, &again.live) && !again.new && again.unseen.is_some());
        // Not for a spec that was never opened: it may name another Vault.
        assert!(connections.open("main", &self::spec("http://127.0.0.1:2"), &operator).await.is_err());

        // That the Secret is gone is an answer, and what comes after it is new to those that use it.
        apiserver.answer(
            "/api/v1/namespaces/vault/secrets/token",
            404,
            &json!({"kind": "Status", "reason": "NotFound", "code": 404}),
        );
        let issue = connections.open("main", &spec, &operator).await.err().unwrap();
        assert_eq!(issue.class, Class::Waiting);
        assert!(connections.fail("main", issue).await);
        apiserver.answer("/api/v1/namespaces/vault/secrets/token", 200, &secret);
        assert!(connections.open("main", &spec, &operator).await.unwrap().new);
    }

    #[tokio::test]
    async fn the_session_of_a_namespace_ends_with_it() {
        let apiserver = ApiServer::start().await;
        let operator = Operator { client: apiserver.client(), service_account: None, concurrency: 1 };
        let auth = json!({"kubernetes": {"role": "binder", "bindingServiceAccount": "vault-binder"}});
        let spec = serde_json::from_value(json!({"address": "http://127.0.0.1:1", "auth": auth})).unwrap();
        let connections = Connections::default();
        let live = connections.open("main", &spec, &operator).await.unwrap().live;
        live.session("a");
        live.session("b");
        connections.forget_namespace("a").await;
        let left: Vec<_> = live.sessions.lock().unwrap().keys().cloned().collect();
        assert_eq!(left, [Some("b".to_owned())]);
    }
}
