//! Address, TLS and credentials of a Vault: from a `VaultConnection` with what it refers to, or from the environment as
//! Vault's own command line reads it.

use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};

use super::Trouble;
use crate::api::connection::{ConnectionAuth, VaultConnectionSpec};
use crate::api::names::MountPath;
use crate::api::references::CaKind;
use crate::commands::files::{Purpose, Sources};
use crate::desired::{Lookup, Reference};
use crate::vault::{Credentials, JwtSource, ServerSettings, VaultError};

/// Where a pod finds its own token.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Where Vault's own command line talks to when `VAULT_ADDR` is not set.
const DEFAULT_ADDRESS: &str = "https://127.0.0.1:8200";

/// Where a connection's Vault is, with what it refers to.
pub(super) fn settings(spec: &VaultConnectionSpec, sources: Sources<'_>) -> Result<ServerSettings, Trouble> {
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

/// How a connection logs in.
pub(super) fn credentials(auth: &ConnectionAuth, sources: Sources<'_>) -> Result<Credentials, Trouble> {
    let mount = |method: &str, path: &str| {
        MountPath::new(path).map_err(|error| Trouble::at(format!("spec.auth.{method}.mount"), error.to_string()))
    };
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
        _ => Err(Trouble::at("spec.auth", "exactly one of kubernetes, jwt, appRole and token must be set")),
    }
}

/// A login with the ServiceAccount token of the pod that the command runs in.
fn pod_login(mount: MountPath, role: &str, method: &str, sources: Sources<'_>) -> Result<Credentials, Trouble> {
    if std::path::Path::new(POD_TOKEN).exists() {
        return Ok(Credentials::Jwt { mount, role: role.to_owned(), source: Arc::new(PodToken) });
    }
    let own = if (sources.environment)("VAULT_TOKEN").is_some() {
        "; VAULT_TOKEN is set: to use it, leave the VaultConnection out of the files (then VAULT_ADDR says where Vault is, \
         and no grants apply)"
    } else {
        "; to use a token of your own, leave the VaultConnection out of the files and set VAULT_ADDR and VAULT_TOKEN"
    };
    let message = format!(
        "this login needs the ServiceAccount token of a pod, and {POD_TOKEN} is not here{own}, or give the connection \
         `auth.token` or `auth.appRole`"
    );
    Err(Trouble::at(format!("spec.auth.{method}"), message))
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
pub(super) fn own_settings(sources: Sources<'_>) -> Result<(ServerSettings, Credentials), Trouble> {
    let variable = |name: &str| {
        let value = (sources.environment)(name)?;
        value.into_string().ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let ca_pem = match variable("VAULT_CACERT") {
        Some(path) => Some(
            std::fs::read(&path)
                .map_err(|error| Trouble::at("VAULT_CACERT", format!("{path} cannot be read: {error}")))?,
        ),
        None => None,
    };
    let token = variable("VAULT_TOKEN").map(SecretString::from).or_else(|| {
        let file = PathBuf::from(variable("HOME")?).join(".vault-token");
        let text = std::fs::read_to_string(file).ok()?;
        Some(SecretString::from(text.trim())).filter(|token| !token.expose_secret().is_empty())
    });
    let Some(token) = token else {
        return Err(Trouble::at(
            "VAULT_TOKEN",
            "there is no Vault token: set VAULT_TOKEN or log in with `vault login`, or add a VaultConnection to the files",
        ));
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
) -> Result<SecretString, Trouble> {
    let reference = Reference { kind, name: name.to_owned(), key: key.to_owned() };
    let Lookup::Found(bytes) = sources.find(namespace, &reference, Purpose::Connection) else {
        return Err(Trouble::at(
            field,
            format!("not found; {}", sources.remedy(namespace, &reference, Purpose::Connection)),
        ));
    };
    std::str::from_utf8(bytes.expose_secret()).map(SecretString::from).map_err(|_| {
        let message = format!("the value of key '{key}' in {kind:?} {namespace}/{name} must be UTF-8 text");
        Trouble::at(field, message)
    })
}
