//! Which Vault a command talks to, and as whom: the `VaultConnection` among the files, or else the person's own
//! settings, as Vault's own command line reads them.

use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};

use super::files::{Resources, Sources};
use crate::api::connection::{ConnectionAuth, VaultConnectionSpec};
use crate::api::names::MountPath;
use crate::api::references::CaKind;
use crate::api::{VaultConnection, VaultJwtBinding};
use crate::desired::{Granted, Lookup, Reference};
use crate::sync::Mounts;
use crate::vault::{ConnectFailure, Credentials, JwtSource, Server, ServerSettings, Vault, VaultError};

/// Where a pod finds its own token.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Where Vault's own command line talks to when `VAULT_ADDR` is not set.
const DEFAULT_ADDRESS: &str = "https://127.0.0.1:8200";

/// A Vault, as a command talks to it.
pub(crate) struct Target {
    /// The address, for people.
    pub(crate) address: String,
    /// The identity on it.
    pub(crate) vault: Vault,
    /// Its auth mounts.
    pub(crate) mounts: Mounts,
    server: Server,
    /// Where its settings are, for advice.
    settings: Origin,
}

/// Where address, CA and credentials come from.
#[derive(Clone, Copy)]
struct Origin {
    address: &'static str,
    tls: &'static str,
    credentials: &'static str,
    namespace: &'static str,
}

const CONNECTION: Origin =
    Origin { address: "spec.address", tls: "spec.tls", credentials: "spec.auth", namespace: "spec.vaultNamespace" };
const PERSON: Origin = Origin {
    address: "VAULT_ADDR",
    tls: "VAULT_CACERT",
    credentials: "VAULT_TOKEN or ~/.vault-token",
    namespace: "VAULT_NAMESPACE",
};

impl Target {
    /// Makes sure that Vault answers, is unsealed and lets us in: one message in place of one for each object.
    ///
    /// # Errors
    /// With what is in the way.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        let health = self.server.health().await.map_err(|error| self.explain(&error))?;
        if !health.initialized {
            return Err(format!("the Vault at {} is not initialized; run `vault operator init`", self.address));
        }
        if health.sealed {
            return Err(format!("the Vault at {} is sealed; run `vault operator unseal`", self.address));
        }
        self.vault.authenticate().await.map_err(|error| self.explain(&error))
    }

    /// What went wrong, and which setting to look at.
    fn explain(&self, error: &VaultError) -> String {
        let setting = match error {
            VaultError::Unreachable { reason: ConnectFailure::Tls(_), .. } => self.settings.tls,
            VaultError::LoginRefused { .. } | VaultError::NoJwt { .. } | VaultError::Denied { .. } => {
                self.settings.credentials
            }
            VaultError::NamespaceUnsupported => self.settings.namespace,
            _ => self.settings.address,
        };
        format!("{error}; check {setting} (Vault at {})", self.address)
    }
}

/// What a binding of this namespace may have written by way of a connection, or of the person's own token.
pub(crate) fn granted<'a>(
    connection: Option<&'a VaultConnection>,
    resources: &Resources,
    namespace: &str,
) -> Granted<'a> {
    match connection {
        Some(connection) => Granted::select(&connection.spec.grants, namespace, &resources.namespace_labels(namespace)),
        None => Granted::unrestricted(),
    }
}

/// The connection of a binding; none when the files hold no connection at all.
///
/// # Errors
/// When the files hold connections, but not this one.
pub(crate) fn connection_of<'a>(
    resources: &'a Resources,
    binding: &VaultJwtBinding,
) -> Result<Option<&'a VaultConnection>, String> {
    let name = &binding.spec.connection_ref.name;
    let connections = resources.connections();
    if connections.is_empty() {
        return Ok(None);
    }
    connections.get(name).map(Some).ok_or_else(|| {
        let known: Vec<&str> = connections.keys().map(String::as_str).collect();
        format!(
            "VaultConnection '{name}' is not among the files, which hold '{}'; add it, or leave all connections out to \
             use VAULT_ADDR and your own token",
            known.join("', '")
        )
    })
}

/// Opens what a binding's connection leads to. Nothing is sent yet.
///
/// # Errors
/// With what is missing, and what to do.
pub(crate) fn open(connection: Option<&VaultConnection>, sources: Sources<'_>) -> Result<Target, String> {
    let origin = if connection.is_some() { CONNECTION } else { PERSON };
    let (settings, credentials) = match connection {
        Some(connection) => (settings(&connection.spec, sources)?, credentials(&connection.spec.auth, sources)?),
        None => own_settings(sources)?,
    };
    let address = settings.address.clone();
    let server =
        Server::new(settings).map_err(|error| format!("{error}; check {} and {}", origin.address, origin.tls))?;
    let vault = Vault::new(server.clone(), credentials);
    Ok(Target { address, vault, mounts: Mounts::default(), server, settings: origin })
}

fn settings(spec: &VaultConnectionSpec, sources: Sources<'_>) -> Result<ServerSettings, String> {
    let tls = spec.tls.clone().unwrap_or_default();
    let ca_pem = match &tls.ca_ref {
        Some(ca) => Some(text("spec.tls.caRef", ca.kind, &ca.namespace, &ca.name, &ca.key, sources)?),
        None => None,
    };
    let client_identity_pem = match &tls.client_certificate_ref {
        Some(pair) => {
            let part =
                |key| text("spec.tls.clientCertificateRef", CaKind::Secret, &pair.namespace, &pair.name, key, sources);
            let (certificate, key) = (part("tls.crt")?, part("tls.key")?);
            Some(SecretString::from(format!("{}\n{}", certificate.expose_secret(), key.expose_secret())))
        }
        None => None,
    };
    Ok(ServerSettings {
        address: spec.address.clone(),
        namespace: spec.vault_namespace.clone(),
        ca_pem: ca_pem.map(|pem| pem.expose_secret().as_bytes().to_vec()),
        client_identity_pem,
        server_name: tls.server_name,
        requests_per_second: positive(spec.limits.requests_per_second),
        concurrent_requests: positive(spec.limits.concurrent_requests),
    })
}

fn positive(limit: i32) -> u32 {
    u32::try_from(limit).unwrap_or(1).max(1)
}

fn credentials(auth: &ConnectionAuth, sources: Sources<'_>) -> Result<Credentials, String> {
    let mount =
        |field: &str, path: &str| MountPath::new(path).map_err(|error| format!("spec.auth.{field}.mount: {error}"));
    let secret = |field: &str, namespace: &str, name: &str, key: &str| {
        // A final newline is an editor's doing and no part of a token.
        text(field, CaKind::Secret, namespace, name, key, sources)
            .map(|text| SecretString::from(text.expose_secret().trim()))
    };
    match auth {
        ConnectionAuth { kubernetes: Some(auth), jwt: None, app_role: None, token: None } => {
            pod_login(mount("kubernetes", &auth.mount)?, &auth.role, "kubernetes", sources)
        }
        ConnectionAuth { kubernetes: None, jwt: Some(auth), app_role: None, token: None } => {
            pod_login(mount("jwt", &auth.mount)?, &auth.role, "jwt", sources)
        }
        ConnectionAuth { kubernetes: None, jwt: None, app_role: Some(auth), token: None } => {
            let of = &auth.secret_id_ref;
            Ok(Credentials::AppRole {
                mount: mount("appRole", &auth.mount)?,
                role_id: auth.role_id.clone(),
                secret_id: secret("spec.auth.appRole.secretIdRef", &of.namespace, &of.name, &of.key)?,
            })
        }
        ConnectionAuth { kubernetes: None, jwt: None, app_role: None, token: Some(auth) } => {
            let of = &auth.secret_ref;
            Ok(Credentials::Token(secret("spec.auth.token.secretRef", &of.namespace, &of.name, &of.key)?))
        }
        _ => Err("spec.auth: exactly one of kubernetes, jwt, appRole and token must be set".to_owned()),
    }
}

/// A login with the ServiceAccount token of the pod that the command runs in.
fn pod_login(mount: MountPath, role: &str, method: &str, sources: Sources<'_>) -> Result<Credentials, String> {
    if std::path::Path::new(POD_TOKEN).exists() {
        return Ok(Credentials::Jwt { mount, role: role.to_owned(), source: Arc::new(PodToken) });
    }
    let own = if (sources.environment)("VAULT_TOKEN").is_some() {
        "; VAULT_TOKEN is set: to use it, leave the VaultConnection out of the files (then VAULT_ADDR says where Vault is, \
         and no grants apply)"
    } else {
        "; to use a token of your own, leave the VaultConnection out of the files and set VAULT_ADDR and VAULT_TOKEN"
    };
    Err(format!(
        "spec.auth.{method}: this login needs the ServiceAccount token of a pod, and {POD_TOKEN} is not here{own}, or give \
         the connection `auth.token` or `auth.appRole`"
    ))
}

/// The token that the kubelet keeps fresh in a pod.
struct PodToken;

impl JwtSource for PodToken {
    fn jwt(&self) -> BoxFuture<'_, Result<SecretString, VaultError>> {
        async {
            let read = tokio::fs::read_to_string(POD_TOKEN).await;
            read.map(|text| SecretString::from(text.trim()))
                .map_err(|error| VaultError::NoJwt { reason: format!("{POD_TOKEN} cannot be read ({})", error.kind()) })
        }
        .boxed()
    }
}

/// What Vault's own command line reads from the environment and the home directory.
fn own_settings(sources: Sources<'_>) -> Result<(ServerSettings, Credentials), String> {
    let variable = |name: &str| {
        let value = (sources.environment)(name)?;
        value.into_string().ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let ca_pem = match variable("VAULT_CACERT") {
        Some(path) => {
            Some(std::fs::read(&path).map_err(|error| format!("VAULT_CACERT: {path} cannot be read: {error}"))?)
        }
        None => None,
    };
    let token = variable("VAULT_TOKEN").map(SecretString::from).or_else(|| {
        let file = PathBuf::from(variable("HOME")?).join(".vault-token");
        let text = std::fs::read_to_string(file).ok()?;
        Some(SecretString::from(text.trim())).filter(|token| !token.expose_secret().is_empty())
    });
    let Some(token) = token else {
        return Err(
            "there is no Vault token: set VAULT_TOKEN or log in with `vault login`, or add a VaultConnection to \
                    the files"
                .to_owned(),
        );
    };
    let settings = ServerSettings {
        address: variable("VAULT_ADDR").unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()),
        namespace: variable("VAULT_NAMESPACE"),
        ca_pem,
        client_identity_pem: None,
        server_name: None,
        requests_per_second: 100,
        concurrent_requests: 16,
    };
    Ok((settings, Credentials::Token(token)))
}

fn text(
    field: &str,
    kind: CaKind,
    namespace: &str,
    name: &str,
    key: &str,
    sources: Sources<'_>,
) -> Result<SecretString, String> {
    let reference = Reference { kind, name: name.to_owned(), key: key.to_owned() };
    match sources.find(namespace, &reference) {
        Lookup::Found(bytes) => match std::str::from_utf8(bytes.expose_secret()) {
            Ok(text) => Ok(SecretString::from(text)),
            Err(_) => {
                Err(format!("{field}: the value of key '{key}' in {kind:?} {namespace}/{name} must be UTF-8 text"))
            }
        },
        Lookup::NoObject | Lookup::NoKey => {
            Err(format!("{field}: not found; {}", sources.remedy(namespace, &reference)))
        }
    }
}
