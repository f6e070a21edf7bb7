//! Who the operator is to a Vault: from a connection's `auth` and what it refers to, to credentials, and where the JWTs
//! of a login come from.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Client;
use secrecy::{ExposeSecret, SecretString};

use super::cluster;
use super::connections::Operator;
use crate::api::conditions::{ConditionType, Reason};
use crate::api::connection::ConnectionAuth;
use crate::api::names::MountPath;
use crate::api::references::{CaKind, NamespacedSecretKeyRef};
use crate::controller::outcome::{Class, Issue};
use crate::desired::Lookup;
use crate::vault::{Credentials, JwtSource, VaultError};

/// Where a pod finds its own token.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Who the operator is to a Vault.
pub(super) enum Identity {
    /// The same for all bindings.
    Shared(Box<dyn Fn() -> Credentials + Send + Sync>),
    /// A ServiceAccount of each binding's namespace.
    PerNamespace(Box<dyn Fn(&str) -> Credentials + Send + Sync>),
}

/// Who the operator is, and the secret that is part of it.
pub(super) async fn identity(
    auth: &ConnectionAuth,
    operator: &Operator,
) -> Result<(Identity, Option<SecretString>), Issue> {
    let invalid = |message: String| Issue::new(Class::Rejected, ConditionType::Authenticated, Reason::Invalid, message);
    let mount = |path: &str| MountPath::new(path).map_err(|error| invalid(format!("spec.auth: mount {error}")));
    let jwt = |mount: MountPath, role: &str, audience: Option<&str>, per_namespace: Option<&str>| {
        let (client, role) = (operator.client.clone(), role.to_owned());
        let audiences: Vec<String> = audience.map(str::to_owned).into_iter().collect();
        let make =
            move |source: Arc<dyn JwtSource>| Credentials::Jwt { mount: mount.clone(), role: role.clone(), source };
        if let Some(name) = per_namespace {
            let name = name.to_owned();
            return Ok(Identity::PerNamespace(Box::new(move |namespace| {
                let account = (namespace.to_owned(), name.clone());
                make(Arc::new(Requested { client: client.clone(), account, audiences: audiences.clone() }))
            })));
        }
        let source: Arc<dyn JwtSource> = match (&operator.service_account, audience) {
            (Some(account), _) => Arc::new(Requested { client, account: account.clone(), audiences }),
            (None, None) => Arc::new(PodToken),
            (None, Some(_)) => {
                return Err(invalid(
                    "spec.auth.jwt: a token for its audience has to be requested, and the operator does not know its \
                     own ServiceAccount; start it with --service-account NAMESPACE/NAME"
                        .to_owned(),
                ));
            }
        };
        Ok(Identity::Shared(Box::new(move || make(source.clone()))))
    };
    match auth {
        ConnectionAuth { kubernetes: Some(auth), jwt: None, app_role: None, token: None } => {
            let identity = jwt(mount(&auth.mount)?, &auth.role, None, auth.binding_service_account.as_deref())?;
            Ok((identity, None))
        }
        ConnectionAuth { kubernetes: None, jwt: Some(auth), app_role: None, token: None } => {
            let per_namespace = auth.binding_service_account.as_deref();
            Ok((jwt(mount(&auth.mount)?, &auth.role, Some(&auth.audience), per_namespace)?, None))
        }
        ConnectionAuth { kubernetes: None, jwt: None, app_role: Some(auth), token: None } => {
            let secret = secret(&operator.client, &auth.secret_id_ref, "spec.auth.appRole.secretIdRef").await?;
            let (mount, role_id, secret_id) = (mount(&auth.mount)?, auth.role_id.clone(), secret.clone());
            let make = move || Credentials::AppRole {
                mount: mount.clone(),
                role_id: role_id.clone(),
                secret_id: secret_id.clone(),
            };
            Ok((Identity::Shared(Box::new(make)), Some(secret)))
        }
        ConnectionAuth { kubernetes: None, jwt: None, app_role: None, token: Some(auth) } => {
            let secret = secret(&operator.client, &auth.secret_ref, "spec.auth.token.secretRef").await?;
            let token = secret.clone();
            Ok((Identity::Shared(Box::new(move || Credentials::Token(token.clone()))), Some(secret)))
        }
        _ => Err(invalid("spec.auth: exactly one of kubernetes, jwt, appRole and token must be set".to_owned())),
    }
}

async fn secret(client: &Client, key: &NamespacedSecretKeyRef, field: &str) -> Result<SecretString, Issue> {
    let value = lookup(client, CaKind::Secret, &key.namespace, &key.name, &key.key, field).await?;
    // A final newline is an editor's doing and no part of a token.
    Ok(value.expose_secret().trim().to_owned().into())
}

pub(super) async fn lookup(
    client: &Client,
    kind: CaKind,
    namespace: &str,
    name: &str,
    key: &str,
    field: &str,
) -> Result<SecretString, Issue> {
    let object = format!("{field}: {kind:?} {namespace}/{name}");
    let waiting =
        |message: String| Issue::new(Class::Waiting, ConditionType::Authenticated, Reason::ReferenceNotFound, message);
    match cluster::value(client, kind, namespace, name, key).await {
        Lookup::Unreadable(why) => Err(Issue::new(
            Class::Unavailable,
            ConditionType::Authenticated,
            Reason::ReferenceNotFound,
            format!("{object} could not be read: {why}"),
        )),
        Lookup::NoObject => Err(waiting(format!("{object} does not exist; create it"))),
        Lookup::NoKey => Err(waiting(format!("{object} has no key '{key}'; add it"))),
        Lookup::Found(bytes) => match std::str::from_utf8(bytes.expose_secret()) {
            Ok(text) => Ok(SecretString::from(text)),
            Err(_) => Err(Issue::new(
                Class::Rejected,
                ConditionType::Authenticated,
                Reason::ReferenceInvalid,
                format!("{object} key '{key}' must be UTF-8 text"),
            )),
        },
    }
}

/// The token that the kubelet keeps fresh in the operator's own pod.
struct PodToken;

impl JwtSource for PodToken {
    fn jwt(&self) -> BoxFuture<'_, Result<SecretString, VaultError>> {
        async {
            let read = tokio::fs::read_to_string(POD_TOKEN).await;
            read.map(|text| SecretString::from(text.trim())).map_err(|error| VaultError::NoJwt {
                reason: format!(
                    "the pod's ServiceAccount token cannot be read ({}); outside a cluster start the operator with \
                     --service-account NAMESPACE/NAME",
                    error.kind()
                ),
            })
        }
        .boxed()
    }
}

/// A token requested from the apiserver for each login.
struct Requested {
    client: Client,
    account: (String, String),
    audiences: Vec<String>,
}

impl JwtSource for Requested {
    fn jwt(&self) -> BoxFuture<'_, Result<SecretString, VaultError>> {
        async {
            let (namespace, name) = &self.account;
            cluster::service_account_token(&self.client, namespace, name, self.audiences.clone()).await.map_err(
                |error| VaultError::NoJwt {
                    reason: format!("no token for ServiceAccount {namespace}/{name}: {error}"),
                },
            )
        }
        .boxed()
    }
}
