//! KV version 1: no versions, no metadata, no check-and-set and no patch. A write replaces the whole secret.

use std::collections::BTreeMap;

use reqwest::Method;
use secrecy::SecretString;

use super::error::VaultError;
use super::kv::{self, KvRevision, KvSecret};
use super::path::ApiPath;
use super::session::Vault;
use crate::api::names::{KvPath, MountPath};

impl Vault {
    /// Reads a secret.
    ///
    /// # Errors
    /// As every call.
    pub async fn kv_read_v1(&self, mount: &MountPath, path: &KvPath) -> Result<Option<KvSecret>, VaultError> {
        let found = self.read(self.request("read", Method::GET, ApiPath::kv_plain(mount, path))).await?;
        let Some(data) = found.as_ref().and_then(|body| body.get("data")) else { return Ok(None) };
        Ok(Some(KvSecret { revision: KvRevision::NONE, data: kv::values(Some(data)) }))
    }

    /// Writes a whole secret.
    ///
    /// # Errors
    /// As every call.
    pub async fn kv_write_v1(
        &self,
        mount: &MountPath,
        path: &KvPath,
        data: &BTreeMap<String, SecretString>,
    ) -> Result<(), VaultError> {
        let request = self.request("write", Method::POST, ApiPath::kv_plain(mount, path)).body(kv::plain(data));
        self.write(request).await.map(drop)
    }

    /// Deletes a secret; one that is not there is deleted already.
    ///
    /// # Errors
    /// As every call.
    pub async fn kv_delete_v1(&self, mount: &MountPath, path: &KvPath) -> Result<(), VaultError> {
        self.write(self.request("delete", Method::DELETE, ApiPath::kv_plain(mount, path))).await.map(drop)
    }
}
