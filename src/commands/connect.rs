//! Which Vault a command talks to, and as whom: the `VaultConnection` among the files, or else the person's own
//! settings, as Vault's own command line reads them.

mod settings;

use super::files::{Resources, Sources};
use crate::api::{VaultConnection, VaultJwtBinding};
use crate::desired::Granted;
use crate::sync::Mounts;
use crate::vault::{ConnectFailure, Server, Vault, VaultError};

/// What keeps a Vault from being used.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// The setting to look at: a field of the connection, or a variable.
    pub(crate) setting: String,
    /// What is wrong, and what to do.
    pub(crate) message: String,
}

impl Trouble {
    fn at(setting: impl Into<String>, message: impl Into<String>) -> Self {
        Self { setting: setting.into(), message: message.into() }
    }
}

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
const PERSON: Origin =
    Origin { address: "VAULT_ADDR", tls: "VAULT_CACERT", credentials: "VAULT_TOKEN", namespace: "VAULT_NAMESPACE" };

impl Target {
    /// Makes sure that Vault answers, is unsealed and lets us in: one message in place of one for each object.
    ///
    /// # Errors
    /// With what is in the way.
    pub(crate) async fn ready(&self) -> Result<(), Trouble> {
        let health = self.server.health().await.map_err(|error| self.explain(&error))?;
        if !health.initialized {
            return Err(self.not_ready("is not initialized; run `vault operator init`"));
        }
        if health.sealed {
            return Err(self.not_ready("is sealed; run `vault operator unseal`"));
        }
        self.vault.authenticate().await.map_err(|error| self.explain(&error))
    }

    fn not_ready(&self, how: &str) -> Trouble {
        Trouble::at(self.settings.address, format!("the Vault at {} {how}", self.address))
    }

    /// What went wrong, and which setting to look at.
    fn explain(&self, error: &VaultError) -> Trouble {
        let setting = match error {
            VaultError::Unreachable { reason: ConnectFailure::Tls(_), .. } => self.settings.tls,
            VaultError::LoginRefused { .. } | VaultError::NoJwt { .. } | VaultError::Denied { .. } => {
                self.settings.credentials
            }
            VaultError::NamespaceUnsupported => self.settings.namespace,
            _ => self.settings.address,
        };
        Trouble::at(setting, format!("{error} (Vault at {}); check this setting", self.address))
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
pub(crate) fn open(connection: Option<&VaultConnection>, sources: Sources<'_>) -> Result<Target, Trouble> {
    let origin = if connection.is_some() { CONNECTION } else { PERSON };
    let (settings, credentials) = match connection {
        Some(connection) => {
            (settings::settings(&connection.spec, sources)?, settings::credentials(&connection.spec.auth, sources)?)
        }
        None => settings::own_settings(sources)?,
    };
    let address = settings.address.clone();
    let server = Server::new(settings)
        .map_err(|error| Trouble::at(origin.address, format!("{error}; check it and {}", origin.tls)))?;
    let vault = Vault::new(server.clone(), credentials);
    Ok(Target { address, vault, mounts: Mounts::default(), server, settings: origin })
}
