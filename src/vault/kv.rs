//! KV version 2: secrets with versions and metadata. Every write names the version that it builds on, so that nobody
//! else's write is lost. The metadata tell whether a secret moved without reading its values.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::error::{Call, VaultError};
use super::path::ApiPath;
use super::session::Vault;
use crate::api::names::{KvPath, MountPath};

/// The version of a KV mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvVersion {
    /// No versions, no metadata.
    V1,
    /// Versions and metadata.
    V2,
}

/// Which version of a secret: the number alone begins anew when a secret is deleted for good and written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvRevision {
    /// Its number; 0 when there is none yet, or for KV version 1.
    pub version: u64,
    /// When it was made.
    pub created: Option<Timestamp>,
}

impl KvRevision {
    /// No version at all.
    pub const NONE: Self = Self { version: 0, created: None };
}

/// What the metadata of a secret say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvMetadata {
    /// The latest version. The next write builds on it, also when it is deleted.
    pub current: KvRevision,
    /// Whether there is nothing to read: the latest version is deleted or destroyed, or there is none.
    pub deleted: bool,
    /// The marks that users of Vault keep with a secret.
    pub custom_metadata: BTreeMap<String, String>,
}

/// A secret.
#[derive(Debug, Clone)]
pub struct KvSecret {
    /// Its version.
    pub revision: KvRevision,
    /// Its values: strings as they are, other JSON values as JSON text.
    pub data: BTreeMap<String, SecretString>,
}

impl Vault {
    /// Which version of KV is mounted there. Asked once per mount, until [`Self::forget_kv_version`].
    ///
    /// # Errors
    /// `Denied` when nothing is mounted there or this identity has no right below it: Vault does not tell these apart.
    /// `NoMount` when what is mounted there is not KV.
    pub async fn kv_version(&self, mount: &MountPath) -> Result<KvVersion, VaultError> {
        if let Some(version) = self.known_kv_version(mount) {
            return Ok(version);
        }
        // Many bindings ask at once after a start: one of them asks Vault, the others wait for what it learns.
        let _one = self.inner.kv_version_gate.lock().await;
        if let Some(version) = self.known_kv_version(mount) {
            return Ok(version);
        }
        let request = self.request("read", Method::GET, ApiPath::mount_info(mount));
        let call = request.call.clone();
        let found = self.read(request).await?;
        let data = found.as_ref().and_then(|body| body.get("data"));
        let text =
            |pointer: &str| data.and_then(|data| data.pointer(pointer)).and_then(Value::as_str).unwrap_or_default();
        // Vault answers for the mount that holds the path, which may be a shorter one.
        if text("/path").trim_end_matches('/') != mount.as_str() || !matches!(text("/type"), "kv" | "generic") {
            return Err(VaultError::NoMount { call });
        }
        let version = if text("/options/version") == "2" { KvVersion::V2 } else { KvVersion::V1 };
        self.remember_kv_version(mount, version);
        Ok(version)
    }

    /// The same, asked again unless that was just now: for a secret that is not where it was looked for, because the
    /// mount may have been made anew.
    ///
    /// # Errors
    /// As [`Self::kv_version`].
    pub async fn kv_version_again(&self, mount: &MountPath) -> Result<KvVersion, VaultError> {
        if !self.learnt_kv_version_just_now(mount) {
            self.forget_kv_version(mount);
        }
        self.kv_version(mount).await
    }

    /// Reads the metadata of a secret; none when there are none.
    ///
    /// # Errors
    /// As every call.
    pub async fn kv_metadata(&self, mount: &MountPath, path: &KvPath) -> Result<Option<KvMetadata>, VaultError> {
        let request = self.request("read", Method::GET, ApiPath::kv_metadata(mount, path));
        let call = request.call.clone();
        let found = self.read(request).await?;
        let Some(data) = found.as_ref().and_then(|body| body.get("data")) else { return Ok(None) };
        let Some(current_version) = data.get("current_version").and_then(Value::as_u64) else {
            // On a version 1 mount this is a secret like any other.
            return Err(VaultError::NoMount { call });
        };
        let latest = data.get("versions").and_then(|versions| versions.get(current_version.to_string()));
        let custom_metadata = data
            .get("custom_metadata")
            .and_then(Value::as_object)
            .map(|map| map.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect());
        Ok(Some(KvMetadata {
            current: KvRevision { version: current_version, created: latest.and_then(created) },
            deleted: latest.is_none_or(is_deleted),
            custom_metadata: custom_metadata.unwrap_or_default(),
        }))
    }

    /// Reads a secret; none when it never existed, or its latest version is deleted or destroyed.
    ///
    /// # Errors
    /// As every call.
    pub async fn kv_read(&self, mount: &MountPath, path: &KvPath) -> Result<Option<KvSecret>, VaultError> {
        let found = self.read(self.request("read", Method::GET, ApiPath::kv_data(mount, path))).await?;
        let Some(data) = found.as_ref().and_then(|body| body.get("data")) else { return Ok(None) };
        let metadata = data.get("metadata");
        let version = metadata.and_then(|metadata| metadata.get("version")).and_then(Value::as_u64).unwrap_or(0);
        let revision = KvRevision { version, created: metadata.and_then(created) };
        Ok(Some(KvSecret { revision, data: values(data.get("data")) }))
    }

    /// Writes a whole secret on top of version `cas` (0: there is none yet), and returns the new version.
    ///
    /// # Errors
    /// `CasMismatch` when the latest version is another, and as every call.
    pub async fn kv_write(
        &self,
        mount: &MountPath,
        path: &KvPath,
        data: &BTreeMap<String, SecretString>,
        cas: u64,
    ) -> Result<KvRevision, VaultError> {
        let body = json!({"data": plain(data), "options": {"cas": cas}});
        let request = self.request("write", Method::POST, ApiPath::kv_data(mount, path)).body(body);
        let call = request.call.clone();
        new_version(&self.write(request).await?, call)
    }

    /// Changes some keys of a secret on top of version `cas` and leaves the others; `None` removes a key. Returns the
    /// new version.
    ///
    /// # Errors
    /// `CasMismatch` when the latest version is another, or deleted, and as every call.
    pub async fn kv_patch(
        &self,
        mount: &MountPath,
        path: &KvPath,
        changes: &BTreeMap<String, Option<SecretString>>,
        cas: u64,
    ) -> Result<KvRevision, VaultError> {
        let changes: Map<String, Value> = changes
            .iter()
            .map(|(key, value)| (key.clone(), value.as_ref().map_or(Value::Null, |value| value.expose_secret().into())))
            .collect();
        let body = json!({"data": changes, "options": {"cas": cas}});
        let request = self.request("patch", Method::PATCH, ApiPath::kv_data(mount, path)).body(body);
        let call = request.call.clone();
        new_version(&self.write(request).await?, call)
    }

    /// Changes some marks of a secret and leaves the others; `None` removes one. Where there are no metadata yet they
    /// are created, so that a mark can stand before the first version does.
    ///
    /// # Errors
    /// As every call.
    pub async fn kv_patch_metadata(
        &self,
        mount: &MountPath,
        path: &KvPath,
        changes: &BTreeMap<String, Option<String>>,
    ) -> Result<(), VaultError> {
        let body = json!({"custom_metadata": changes});
        let request = self.request("patch", Method::PATCH, ApiPath::kv_metadata(mount, path)).body(body);
        match self.write(request).await {
            // The only meaning that it can have here: there are none.
            Err(VaultError::CasMismatch { .. }) if changes.values().all(Option::is_none) => Ok(()),
            Err(VaultError::CasMismatch { .. }) => self.kv_write_metadata(mount, path, changes).await,
            other => other.map(drop),
        }
    }

    /// Sets all marks of a secret, whether it exists or not; others are lost.
    ///
    /// # Errors
    /// As every call.
    pub async fn kv_write_metadata(
        &self,
        mount: &MountPath,
        path: &KvPath,
        marks: &BTreeMap<String, Option<String>>,
    ) -> Result<(), VaultError> {
        let marks: BTreeMap<_, _> = marks.iter().filter_map(|(key, value)| Some((key, value.as_ref()?))).collect();
        let body = json!({"custom_metadata": marks});
        let request = self.request("write", Method::POST, ApiPath::kv_metadata(mount, path)).body(body);
        self.write(request).await.map(drop)
    }

    /// Deletes a secret: its metadata and all versions.
    ///
    /// # Errors
    /// As every call.
    pub async fn kv_delete_metadata(&self, mount: &MountPath, path: &KvPath) -> Result<(), VaultError> {
        self.write(self.request("delete", Method::DELETE, ApiPath::kv_metadata(mount, path))).await.map(drop)
    }
}

/// Whether a version is gone. A mount with `delete_version_after` writes the time of deletion in advance.
fn is_deleted(version: &Value) -> bool {
    let destroyed = version.get("destroyed").and_then(Value::as_bool).unwrap_or(false);
    let deletion = version.get("deletion_time").and_then(Value::as_str).unwrap_or_default();
    let passed = || deletion.parse::<Timestamp>().is_ok_and(|time| time <= Timestamp::now());
    destroyed || (!deletion.is_empty() && passed())
}

fn new_version(body: &Map<String, Value>, call: Call) -> Result<KvRevision, VaultError> {
    let data = body.get("data");
    let version = data.and_then(|data| data.get("version")).and_then(Value::as_u64);
    let version = version.ok_or(VaultError::NotVault { call, status: 200 })?;
    Ok(KvRevision { version, created: data.and_then(created) })
}

fn created(version: &Value) -> Option<Timestamp> {
    version.get("created_time").and_then(Value::as_str)?.parse().ok()
}

pub(super) fn values(data: Option<&Value>) -> BTreeMap<String, SecretString> {
    let Some(Value::Object(map)) = data else { return BTreeMap::new() };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    map.iter().map(|(key, value)| (key.clone(), text(value).into())).collect()
}

pub(super) fn plain(data: &BTreeMap<String, SecretString>) -> Value {
    data.iter().map(|(key, value)| (key.clone(), Value::from(value.expose_secret()))).collect::<Map<_, _>>().into()
}
