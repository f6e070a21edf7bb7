//! What is remembered between passes to spare requests. All of it may be lost at any time: the next pass then reads
//! once more, and writes nothing for it.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;

use crate::api::binding::Ownership;
use crate::api::names::MountPath;
use crate::desired::{KvEntry, Object, ObjectId};
use crate::vault::{AuthMountInfo, KvRevision, Vault, VaultError};

/// What one binding's last pass learnt.
#[derive(Default)]
pub struct Memory {
    /// The auth mount was there, of the right type. A role or config read says when it has gone.
    pub(crate) mount_seen: bool,
    /// KV secrets that were seen equal to the desired data: their version then, and the data's digest.
    pub(crate) kv: HashMap<ObjectId, KvSeen>,
}

impl Memory {
    /// Whether a KV entry's desired data is known to be other than at the last pass.
    pub(crate) fn has_other_data(&self, object: &Object) -> bool {
        match object {
            Object::Kv(entry) => self.kv.get(&object.id()).is_some_and(|seen| seen.digest != digest(entry)),
            _ => false,
        }
    }
}

/// A KV version 2 secret that was seen equal to its desired data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct KvSeen {
    pub(crate) revision: KvRevision,
    pub(crate) digest: u64,
}

/// A digest of what is wanted of a secret, keyed anew in each process, so that it says nothing outside it.
pub(crate) fn digest(entry: &KvEntry) -> u64 {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let data: Vec<_> = entry.data.iter().map(|(key, value)| (key.as_str(), value.expose_secret())).collect();
    KEY.hash_one((entry.ownership == Ownership::Secret, data))
}

/// Where secrets are made: of several bindings that put a key each into one new secret, one after the other marks it,
/// because the first marks of a secret replace all others.
#[derive(Default)]
pub(crate) struct Births([tokio::sync::Mutex<()>; 16]);

impl Births {
    /// Waits until nobody else makes the secret at this place.
    pub(crate) async fn alone(&self, at: &ObjectId) -> tokio::sync::MutexGuard<'_, ()> {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let place = KEY.hash_one(at) % self.0.len() as u64;
        self.0[usize::try_from(place).unwrap_or_default()].lock().await
    }
}

type MountList = Arc<BTreeMap<String, AuthMountInfo>>;

/// The list of auth mounts of one connection, shared by its bindings: a thousand of them starting at once read it once.
#[derive(Default)]
pub struct Mounts {
    known: tokio::sync::Mutex<Option<(Instant, MountList)>>,
    /// Secrets of the same Vault that are being made.
    pub(crate) births: Births,
}

impl Mounts {
    const FRESH: Duration = Duration::from_secs(5);

    /// The list, not older than a few seconds.
    pub(crate) async fn list(&self, vault: &Vault) -> Result<MountList, VaultError> {
        let mut slot = self.known.lock().await;
        if let Some((at, list)) = &*slot
            && at.elapsed() < Self::FRESH
        {
            return Ok(list.clone());
        }
        let list = Arc::new(vault.auth_mounts().await?);
        *slot = Some((Instant::now(), list.clone()));
        Ok(list)
    }

    /// Enables the jwt method where nothing is mounted. Of many bindings that ask for it at once, one does it.
    pub(crate) async fn enable(&self, vault: &Vault, mount: &MountPath) -> Result<(), VaultError> {
        let mut slot = self.known.lock().await;
        if let Some((_, list)) = &*slot
            && list.contains_key(mount.as_str())
        {
            return Ok(());
        }
        let enabled = vault.enable_jwt(mount).await;
        // Also when it failed: whoever else has mounted something there is seen at the next look.
        *slot = None;
        enabled?;
        *slot = Some((Instant::now(), Arc::new(vault.auth_mounts().await?)));
        Ok(())
    }

    /// Forgets the list, after a mount was found missing.
    pub(crate) async fn forget(&self) {
        *self.known.lock().await = None;
    }
}
