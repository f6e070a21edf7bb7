//! Auth mounts: listed, and a jwt method enabled where nothing is mounted. None is ever disabled: that would revoke
//! every token of everyone who logged in there.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use super::error::VaultError;
use super::path::ApiPath;
use super::session::Vault;
use crate::api::names::MountPath;

/// What is mounted at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthMountInfo {
    /// The method, e.g. `jwt`; `oidc` is the same plugin under another name.
    pub type_: String,
    /// Changes when the mount is disabled and enabled again.
    pub accessor: String,
}

impl Vault {
    /// All auth mounts by path, without a final `/`.
    ///
    /// # Errors
    /// As every call.
    pub async fn auth_mounts(&self) -> Result<BTreeMap<String, AuthMountInfo>, VaultError> {
        let request = self.request("list", Method::GET, ApiPath::auth_mounts());
        let call = request.call.clone();
        let found = self.read(request).await?;
        let Some(Value::Object(mounts)) = found.as_ref().and_then(|body| body.get("data")) else {
            return Err(VaultError::NotVault { call, status: 200 });
        };
        let text = |mount: &Value, field: &str| mount.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(mounts
            .iter()
            .map(|(path, mount)| {
                let info = AuthMountInfo { type_: text(mount, "type"), accessor: text(mount, "accessor") };
                (path.trim_end_matches('/').to_owned(), info)
            })
            .collect())
    }

    /// Enables the jwt method. Not idempotent: a path in use is `Rejected`.
    ///
    /// # Errors
    /// As every call.
    pub async fn enable_jwt(&self, mount: &MountPath) -> Result<(), VaultError> {
        let request = self.request("enable", Method::POST, ApiPath::auth_mount(mount)).body(json!({"type": "jwt"}));
        self.write(request).await.map(drop)
    }
}
