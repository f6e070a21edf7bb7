//! The one config of a jwt mount. A write replaces all of it and makes Vault fetch the issuer's keys, which takes as
//! long as the issuer does; while a discovery fetch hangs, even a read hangs.

use reqwest::Method;
use serde_json::Value;

use super::canon::{self, Fields, Kind};
use super::error::VaultError;
use super::limits::Lane;
use super::path::ApiPath;
use super::session::Vault;
use crate::api::names::MountPath;

/// The fields of a config, and how each is compared. The client secret is never returned; the client id is, and with
/// it Vault refuses every jwt login.
pub const FIELDS: &[(&str, Kind)] = &[
    ("oidc_discovery_url", Kind::Text),
    ("oidc_discovery_ca_pem", Kind::Text),
    ("oidc_client_id", Kind::Text),
    ("oidc_response_mode", Kind::Text),
    ("oidc_response_types", Kind::Set),
    ("jwks_url", Kind::Text),
    ("jwks_ca_pem", Kind::Text),
    ("jwks_pairs", Kind::JwksPairs),
    ("jwt_validation_pubkeys", Kind::List),
    ("jwt_supported_algs", Kind::Set),
    ("bound_issuer", Kind::Text),
    ("default_role", Kind::LowerText),
    ("provider_config", Kind::Map),
    ("namespace_in_state", Kind::Bool),
    ("unsupported_critical_cert_extensions", Kind::Set),
];

impl Vault {
    /// Reads the config: every field in the form that is compared; none when it was never written.
    ///
    /// # Errors
    /// `NoMount` when no jwt method is mounted there, and as every call.
    pub async fn read_config(&self, mount: &MountPath) -> Result<Option<Fields>, VaultError> {
        let request = self.request("read", Method::GET, ApiPath::config(mount)).lane(Lane::Issuer(mount.to_string()));
        let Some(found) = self.read(request).await? else { return Ok(None) };
        let Some(Value::Object(data)) = found.get("data") else { return Ok(None) };
        Ok(Some(canon::normalise(FIELDS, data)))
    }

    /// Writes the config: what is left out becomes empty. May rightly take 90 s, so it goes on by itself when its
    /// caller stops waiting, and a caller who comes back with the same content waits for the same write. Another content
    /// waits for its turn, and of several that wait only the newest is written.
    ///
    /// # Errors
    /// `IssuerUnreachable` when Vault cannot fetch what the config points to, `Superseded` when a newer config came before
    /// this one's turn, and as every call.
    pub async fn write_config(&self, mount: &MountPath, fields: &Fields) -> Result<(), VaultError> {
        let body = canon::body(fields);
        let deadline = self.server().deadlines().config_write;
        let request = self.request("write", Method::POST, ApiPath::config(mount)).body(body.clone());
        let request = request.lane(Lane::Issuer(mount.to_string())).deadline(deadline);
        let (vault, call) = (self.clone(), request.call.clone());
        let write = async move { vault.write(request).await.map(drop) };
        self.config_writes().join(mount, call, body, write).await
    }
}
