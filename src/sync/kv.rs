//! KV secrets: what of them is owned, compared and written. Values of version 2 are read only when the version in the
//! metadata moved; version 1 has no versions and no place for a marker.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret, SecretString};

use super::apply::Context;
use super::diff::{ABSENT, Change, SENSITIVE, cut};
use super::marker::{Marked, Owner, kv_marker_key};
use super::memory::{KvSeen, Memory, digest};
use super::plan::{Action, Mode, conflict};
use crate::api::binding::Ownership;
use crate::api::names::{KvPath, MountPath, NameError};
use crate::api::status::{ManagedObject, ObjectKind};
use crate::desired::{Claim, KvEntry, Object, ObjectId};
use crate::vault::{KvMetadata, KvRevision, KvVersion, Vault, VaultError};

/// What a KV path holds.
pub(crate) struct FoundKv {
    version: KvVersion,
    /// The current version of the secret, for check-and-set.
    current: KvRevision,
    /// Custom metadata; none when the path has no metadata at all.
    metadata: Option<BTreeMap<String, String>>,
    data: Data,
}

pub(crate) enum Data {
    /// The version is the one that was last seen equal.
    Unchanged,
    Absent,
    Values(BTreeMap<String, SecretString>),
}

/// What has to be written to one KV path.
#[derive(Default)]
pub(crate) struct KvWrite {
    /// Keys whose value differs or is missing.
    set: Vec<String>,
    /// Keys that this binding wrote and no longer wants.
    remove: Vec<String>,
    /// Markers that are missing: of keys, or of the whole secret.
    mark: Vec<Option<String>>,
    /// Markers of this binding that say what no longer holds.
    unmark: Vec<Option<String>>,
    /// Keys that another binding owns now, none for all of them: a deletion leaves them.
    spare: Vec<Option<String>>,
}

impl KvWrite {
    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty() && self.mark.is_empty() && self.unmark.is_empty()
    }

    /// For the deletion of what a binding owned, without what another one owns now.
    pub(crate) fn sparing(managed: &ManagedObject, taken: &BTreeSet<Claim>) -> Self {
        let id = managed.id();
        let spare = taken.iter().filter(|claim| claim.id == id).map(|claim| claim.key.clone()).collect();
        Self { spare, ..Self::default() }
    }

    fn spares(&self, key: &String) -> bool {
        self.spare.iter().any(|spared| spared.as_ref().is_none_or(|spared| spared == key))
    }
}

pub(crate) fn names(managed: &ManagedObject) -> Result<(MountPath, KvPath), NameError> {
    let mount = MountPath::new(managed.mount.as_deref().unwrap_or_default())?;
    let path = managed.path.strip_prefix(mount.as_str()).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
    Ok((mount, KvPath::new(path)?))
}

pub(crate) async fn read(
    vault: &Vault,
    entry: &KvEntry,
    owner: &Owner,
    seen: Option<&KvSeen>,
) -> Result<FoundKv, VaultError> {
    let unchanged = |metadata: &KvMetadata| {
        let mut marks = scopes(entry).into_iter();
        // Somebody who took the marker away may have done more.
        let marked =
            marks.all(|key| owner.judge_kv(&metadata.custom_metadata, key.map(String::as_str)) == Marked::Ours);
        let now = || KvSeen { revision: metadata.current, digest: digest(entry) };
        marked && seen.is_some_and(|seen| *seen == now())
    };
    read_unless(vault, &entry.mount, &entry.path, unchanged).await
}

pub(crate) async fn read_whole(vault: &Vault, mount: &MountPath, path: &KvPath) -> Result<FoundKv, VaultError> {
    read_unless(vault, mount, path, |_| false).await
}

async fn read_unless(
    vault: &Vault,
    mount: &MountPath,
    path: &KvPath,
    unchanged: impl Fn(&KvMetadata) -> bool,
) -> Result<FoundKv, VaultError> {
    let version = vault.kv_version(mount).await?;
    let found = read_as(vault, version, mount, path, &unchanged).await;
    let surprising = match &found {
        Ok(found) => found.metadata.is_none() && matches!(found.data, Data::Absent),
        // A policy that names only the paths of one version denies those of the other.
        Err(error) => {
            matches!(error, VaultError::Rejected { .. } | VaultError::NoMount { .. } | VaultError::Denied { .. })
        }
    };
    if surprising {
        let now = match (vault.kv_version_again(mount).await, &found) {
            (Err(_), Err(VaultError::Denied { .. })) => return found,
            (now, _) => now?,
        };
        if now != version {
            return read_as(vault, now, mount, path, &unchanged).await;
        }
    }
    found
}

async fn read_as(
    vault: &Vault,
    version: KvVersion,
    mount: &MountPath,
    path: &KvPath,
    unchanged: impl Fn(&KvMetadata) -> bool,
) -> Result<FoundKv, VaultError> {
    if version == KvVersion::V1 {
        let data = vault.kv_read_v1(mount, path).await?.map_or(Data::Absent, |secret| Data::Values(secret.data));
        return Ok(FoundKv { version, current: KvRevision::NONE, metadata: None, data });
    }
    let Some(metadata) = vault.kv_metadata(mount, path).await? else {
        return Ok(FoundKv { version, current: KvRevision::NONE, metadata: None, data: Data::Absent });
    };
    let (current, data) = if metadata.deleted {
        (metadata.current, Data::Absent)
    } else if unchanged(&metadata) {
        (metadata.current, Data::Unchanged)
    } else {
        match vault.kv_read(mount, path).await? {
            // The version of the values, in case it moved again since the metadata was read.
            Some(secret) => (secret.revision, Data::Values(secret.data)),
            None => (metadata.current, Data::Absent),
        }
    };
    Ok(FoundKv { version, current, metadata: Some(metadata.custom_metadata), data })
}

/// What is marked: each key, or the secret as a whole.
fn scopes(entry: &KvEntry) -> Vec<Option<&String>> {
    if entry.ownership == Ownership::Secret { vec![None] } else { entry.data.keys().map(Some).collect() }
}

/// Decides what to do about one KV entry.
pub(crate) fn plan(
    entry: &KvEntry,
    found: &FoundKv,
    managed: Option<&ManagedObject>,
    mode: &Mode<'_>,
) -> (Action, Vec<Change>, KvWrite) {
    let whole = entry.ownership == Ownership::Secret;
    let marked = |scope: Option<&String>| match &found.metadata {
        Some(metadata) => mode.owner.judge_kv(metadata, scope.map(String::as_str)),
        None => Marked::Nobody,
    };
    let recorded = |key: &String| managed.is_some_and(|m| m.keys.is_empty() || m.keys.contains(key));
    let scopes = scopes(entry);
    let mut write = KvWrite::default();
    if found.version == KvVersion::V2 {
        let unmarked = scopes.iter().filter(|scope| marked(**scope) != Marked::Ours);
        write.mark = unmarked.map(|scope| scope.cloned()).collect();
        // Left behind by keys that are no longer wanted, or by the other kind of ownership.
        let ours = found.metadata.iter().flat_map(|metadata| mode.owner.marked_keys(metadata));
        write.unmark = ours.filter(|key| !scopes.contains(&key.as_ref())).collect();
    }
    let values = match &found.data {
        Data::Unchanged => None,
        Data::Absent => Some(BTreeMap::new()),
        Data::Values(values) => Some(values.clone()),
    };
    if let Some(values) = &values {
        let differs = |key: &String| match (entry.data.get(key), values.get(key)) {
            (Some(a), Some(b)) => a.expose_secret() != b.expose_secret(),
            (a, b) => a.is_some() != b.is_some(),
        };
        write.set = entry.data.keys().filter(|key| differs(key)).cloned().collect();
        write.remove = if whole {
            values.keys().filter(|key| !entry.data.contains_key(*key)).cloned().collect()
        } else {
            // Of a secret that was owned as a whole, every key was.
            let unwanted = |key: &&String| recorded(key) && !entry.data.contains_key(*key);
            values
                .keys()
                .filter(unwanted)
                .filter(|key| !matches!(marked(Some(key)), Marked::Other(_)))
                .cloned()
                .collect()
        };
    }
    let there = |key: &String| match &found.data {
        Data::Unchanged => true,
        Data::Absent => false,
        Data::Values(values) => values.contains_key(key),
    };
    let change = |key: &String, expected: &str| Change {
        // The key may be anybody's, and of any length.
        field: cut(key),
        expected: expected.to_owned(),
        found: if there(key) { SENSITIVE } else { ABSENT }.to_owned(),
    };
    let mut changes: Vec<Change> = write.set.iter().map(|key| change(key, SENSITIVE)).collect();
    changes.extend(write.remove.iter().map(|key| change(key, ABSENT)));

    // What exists and would be overwritten must be ours, by record or by marker. A key's own marker says more than that of
    // the whole secret.
    let holder = |key: &String| match (marked(Some(key)), marked(None)) {
        (Marked::Nobody, of_all) => of_all,
        (of_key, _) => of_key,
    };
    let judge = |scope: Option<&String>| match scope {
        Some(key) if !whole => holder(key),
        scope => marked(scope),
    };
    let touched: Vec<&String> = write.set.iter().chain(&write.remove).filter(|key| there(key)).collect();
    let unowned = |key: &&&String| match holder(key) {
        Marked::Ours => false,
        Marked::Nobody => !recorded(key),
        Marked::Other(_) => true,
    };
    let foreign = touched.iter().any(|key| unowned(&key));
    let others_mark = scopes.iter().map(|scope| judge(*scope)).find(|mark| matches!(mark, Marked::Other(_)));
    let id = ObjectId::new(ObjectKind::Kv, format!("{}/{}", entry.mount, entry.path));
    let claim = |key: Option<&String>| Claim { id: id.clone(), key: key.cloned() };
    let in_the_way = {
        let marks = scopes.iter().map(|scope| (*scope, judge(*scope)));
        let marks = marks.filter(|(_, mark)| matches!(mark, Marked::Other(_)));
        let touched = touched.iter().filter(unowned).map(|key| (Some(*key), holder(key)));
        marks.chain(touched).find(|(key, mark)| !mode.covers(&claim(*key), *mark))
    };
    let known = managed.is_some();
    if changes.is_empty() && !(write.mark.is_empty() && write.unmark.is_empty()) {
        changes.push(mode.owner.mark(others_mark.unwrap_or(Marked::Nobody)));
    }
    let action = if write.is_empty() {
        if known { Action::Keep } else { Action::TakeOver }
    } else if let Some((key, mark)) = in_the_way {
        let what = key.map_or_else(|| "what exists there".to_owned(), |key| format!("key '{}'", cut(key)));
        conflict(&what, "an entry of its custom metadata", mark)
    } else if write.set.is_empty() && write.remove.is_empty() {
        // Equal, only the marker is missing.
        if known { Action::Update } else { Action::TakeOver }
    } else if known && !mode.correct {
        Action::Report
    } else if known {
        Action::Update
    } else if foreign {
        Action::Adopt
    } else if !touched.is_empty() {
        // Its marker says that it is ours, though the record was lost.
        Action::Update
    } else {
        Action::Create
    };
    (action, changes, write)
}

/// Writes what the plan says: the marker first, so that a crash in between leaves a marked place and not an unowned
/// secret.
pub(crate) async fn write(
    context: &Context<'_>,
    id: &ObjectId,
    entry: &KvEntry,
    found: &FoundKv,
    write: &KvWrite,
    memory: &mut Memory,
) -> Result<(), VaultError> {
    let (vault, mount, path) = (context.vault, &entry.mount, &entry.path);
    if found.version == KvVersion::V1 {
        let mut data = match &found.data {
            Data::Values(values) if entry.ownership == Ownership::Keys => values.clone(),
            _ => BTreeMap::new(),
        };
        data.retain(|key, _| !write.remove.contains(key));
        data.extend(entry.data.clone());
        return vault.kv_write_v1(mount, path, &data).await;
    }
    if !write.mark.is_empty() {
        let marks =
            write.mark.iter().map(|key| (kv_marker_key(key.as_deref()), Some(context.owner.to_string()))).collect();
        let _alone = if found.metadata.is_none() { Some(context.mounts.births.alone(id).await) } else { None };
        vault.kv_patch_metadata(mount, path, &marks).await?;
    }
    let mut revision = found.current;
    if !write.set.is_empty() || !write.remove.is_empty() {
        let absent = matches!(found.data, Data::Absent);
        revision = if absent || entry.ownership == Ownership::Secret {
            vault.kv_write(mount, path, &entry.data, found.current.version).await?
        } else {
            let mut merge: BTreeMap<String, Option<SecretString>> =
                write.remove.iter().map(|key| (key.clone(), None)).collect();
            merge.extend(write.set.iter().map(|key| (key.clone(), entry.data.get(key).cloned())));
            vault.kv_patch(mount, path, &merge, found.current.version).await?
        };
    }
    if !write.unmark.is_empty() {
        let marks = write.unmark.iter().map(|key| (kv_marker_key(key.as_deref()), None)).collect();
        vault.kv_patch_metadata(mount, path, &marks).await?;
    }
    memory.kv.insert(id.clone(), KvSeen { revision, digest: digest(entry) });
    Ok(())
}

/// Remembers that the values of this version are the desired ones.
pub(crate) fn remember(id: &ObjectId, object: &Object, found: &FoundKv, memory: &mut Memory) {
    if let Object::Kv(entry) = object
        && found.version == KvVersion::V2
    {
        memory.kv.insert(id.clone(), KvSeen { revision: found.current, digest: digest(entry) });
    }
}

/// Deletes what a binding owned of a KV secret, and says whether anything was left to delete: the whole secret when
/// nothing else is in it, otherwise only its keys. What is another binding's stays, by its marker or by `write`.
pub(crate) async fn delete(
    vault: &Vault,
    managed: &ManagedObject,
    found: &FoundKv,
    write: &KvWrite,
    owner: &Owner,
) -> Result<bool, VaultError> {
    let (mount, path) = names(managed)?;
    let whole = managed.keys.is_empty();
    let marked = |key: Option<&str>| match &found.metadata {
        // Version 1 has no place for a marker: the record is all there is.
        _ if found.version == KvVersion::V1 => Marked::Ours,
        Some(metadata) => owner.judge_kv(metadata, key),
        None => Marked::Nobody,
    };
    let ours = |key: &String| {
        let marker = if whole { marked(None) } else { marked(Some(key)) };
        marker == Marked::Ours && !matches!(marked(Some(key)), Marked::Other(_)) && !write.spares(key)
    };
    let none = BTreeMap::new();
    let values = if let Data::Values(values) = &found.data { values } else { &none };
    let (goes, stays): (Vec<&String>, Vec<&String>) =
        values.keys().partition(|key| (whole || managed.keys.contains(key)) && ours(key));
    if stays.is_empty() {
        // Only a marked place, or a secret that somebody deleted: its older versions are ours to remove.
        let marks = if whole { vec![None] } else { managed.keys.iter().map(Some).collect() };
        let all = marks.into_iter().all(|key| marked(key.map(String::as_str)) == Marked::Ours);
        let there = found.metadata.is_some() || !goes.is_empty();
        if there && (all || !goes.is_empty()) {
            delete_all(vault, found.version, &mount, &path).await?;
            return Ok(true);
        }
        return Ok(false);
    }
    if !goes.is_empty() {
        if found.version == KvVersion::V1 {
            let mut rest = values.clone();
            rest.retain(|key, _| !goes.contains(&key));
            vault.kv_write_v1(&mount, &path, &rest).await?;
        } else {
            let patch = goes.iter().map(|key| ((*key).clone(), None)).collect();
            vault.kv_patch(&mount, &path, &patch, found.current.version).await?;
        }
    }
    let marks: BTreeMap<String, Option<String>> = found
        .metadata
        .iter()
        .flat_map(|metadata| owner.marked_keys(metadata))
        .map(|key| (kv_marker_key(key.as_deref()), None))
        .collect();
    if !marks.is_empty() {
        vault.kv_patch_metadata(&mount, &path, &marks).await?;
    }
    Ok(!goes.is_empty())
}

async fn delete_all(vault: &Vault, version: KvVersion, mount: &MountPath, path: &KvPath) -> Result<(), VaultError> {
    match version {
        KvVersion::V1 => vault.kv_delete_v1(mount, path).await,
        KvVersion::V2 => vault.kv_delete_metadata(mount, path).await,
    }
}

#[cfg(test)]
mod tests;
