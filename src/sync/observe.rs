//! Reads from Vault what exists of the desired objects and of those that are no longer wanted. Only reads. Each object
//! is read on its own: a failure of one hides no other.

use std::collections::BTreeMap;

use futures::future::join_all;

use super::kv::{self, FoundKv};
use super::marker::Owner;
use super::memory::{Memory, Mounts};
use crate::api::names::{MountPath, PolicyName};
use crate::api::status::{ManagedObject, ObjectKind};
use crate::desired::{Fields, Object, ObjectId};
use crate::vault::{Vault, VaultError};

/// What Vault has for one object.
pub(crate) enum Found {
    Absent,
    /// An auth mount of this type.
    Mount(String),
    /// A policy's whole text.
    Policy(String),
    /// The canonical fields of a role or a config.
    Fields(Fields),
    Kv(FoundKv),
    /// Nothing that has to be known before it is deleted or let go.
    Unread,
}

/// What Vault has, by object.
#[derive(Default)]
pub struct Observation(pub(super) BTreeMap<ObjectId, Result<Found, VaultError>>);

impl Observation {
    pub(crate) fn of(&self, id: &ObjectId) -> &Result<Found, VaultError> {
        // An object that was not asked for cannot have been seen.
        self.0.get(id).unwrap_or(&Ok(Found::Unread))
    }

    /// Whether no jwt mount is there for certain: not being allowed to look is no answer.
    fn lacks(&self, mount: &MountPath) -> bool {
        match self.of(&mount_id(mount)) {
            Ok(Found::Absent) => true,
            Ok(Found::Mount(type_)) => !is_jwt(type_),
            _ => false,
        }
    }
}

/// Reads what exists of `objects`, which are to be `owner`'s, and of `leftovers`: managed objects that are no longer wanted.
pub async fn observe(
    vault: &Vault,
    mounts: &Mounts,
    owner: &Owner,
    objects: &[Object],
    leftovers: &[&ManagedObject],
    memory: &mut Memory,
) -> Observation {
    let mut observation = Observation::default();
    let mount = objects.iter().find_map(|object| match object {
        Object::AuthMount(mount) => Some(mount.mount.clone()),
        _ => None,
    });
    if let Some(mount) = &mount
        && !memory.mount_seen
    {
        observe_mount(vault, mounts, mount, memory, &mut observation).await;
    }
    let missing = mount.as_ref().is_some_and(|mount| observation.lacks(mount));
    let reads = objects.iter().map(|object| read(vault, owner, object, missing, memory));
    let results = join_all(reads).await;
    let vanished = results.iter().any(|(_, result)| matches!(result, Err(VaultError::NoMount { .. })));
    // What could be read proves the mount, even to an identity that may not list the mounts.
    let proven = results.iter().any(|(_, result)| matches!(result, Ok(Found::Fields(_))));
    observation.0.extend(results.into_iter().filter(|(id, _)| id.kind != ObjectKind::AuthMount));
    match mount {
        // The mount was there at the last pass, and a role or the config says that it no longer is.
        Some(mount) if vanished && memory.mount_seen => {
            memory.mount_seen = false;
            mounts.forget().await;
            observe_mount(vault, mounts, &mount, memory, &mut observation).await;
            if observation.lacks(&mount) {
                for (id, result) in &mut observation.0 {
                    if matches!(result, Err(VaultError::NoMount { .. })) && id.kind != ObjectKind::AuthMount {
                        *result = Ok(Found::Absent);
                    }
                }
            }
        }
        Some(mount) if memory.mount_seen || proven => {
            memory.mount_seen = true;
            observation.0.insert(mount_id(&mount), Ok(Found::Mount("jwt".to_owned())));
        }
        _ => {}
    }
    let reads = leftovers.iter().map(|managed| read_leftover(vault, mounts, managed));
    observation.0.extend(join_all(reads).await);
    observation
}

async fn observe_mount(
    vault: &Vault,
    mounts: &Mounts,
    mount: &MountPath,
    memory: &mut Memory,
    observation: &mut Observation,
) {
    let found = mounts.list(vault).await.map(|list| match list.get(mount.as_str()) {
        Some(info) => Found::Mount(info.type_.clone()),
        None => Found::Absent,
    });
    memory.mount_seen = matches!(&found, Ok(Found::Mount(type_)) if is_jwt(type_));
    observation.0.insert(mount_id(mount), found);
}

fn mount_id(mount: &MountPath) -> ObjectId {
    ObjectId { kind: ObjectKind::AuthMount, path: mount.to_string() }
}

/// `jwt` and `oidc` are two names of one plugin.
pub(crate) fn is_jwt(type_: &str) -> bool {
    matches!(type_, "jwt" | "oidc")
}

async fn read(
    vault: &Vault,
    owner: &Owner,
    object: &Object,
    mount_missing: bool,
    memory: &Memory,
) -> (ObjectId, Result<Found, VaultError>) {
    let fields = |read: Option<Fields>| read.map_or(Found::Absent, Found::Fields);
    let id = object.id();
    let found = match object {
        Object::AuthMount(_) => Ok(Found::Unread),
        Object::JwtConfig(_) | Object::Role(_) if mount_missing => Ok(Found::Absent),
        Object::JwtConfig(config) => vault.read_config(&config.mount).await.map(fields),
        Object::Role(role) => vault.read_role(&role.mount, &role.name).await.map(fields),
        Object::Policy(policy) => read_policy(vault, &policy.name).await,
        Object::Kv(entry) => kv::read(vault, entry, owner, memory.kv.get(&id)).await.map(Found::Kv),
    };
    (id, found)
}

async fn read_policy(vault: &Vault, name: &PolicyName) -> Result<Found, VaultError> {
    Ok(vault.read_policy(name).await?.map_or(Found::Absent, Found::Policy))
}

async fn read_leftover(
    vault: &Vault,
    mounts: &Mounts,
    managed: &ManagedObject,
) -> (ObjectId, Result<Found, VaultError>) {
    let id = ObjectId { kind: managed.kind, path: managed.path.clone() };
    let found = match managed.kind {
        ObjectKind::Policy => match PolicyName::new(&managed.path) {
            Ok(name) => read_policy(vault, &name).await,
            Err(error) => Err(error.into()),
        },
        ObjectKind::Kv => match kv::names(managed) {
            Ok((mount, path)) => match kv::read_whole(vault, &mount, &path).await {
                // Another engine is there, and nothing of what the KV engine held.
                Err(VaultError::NoMount { .. }) => Ok(Found::Absent),
                read => read.map(Found::Kv),
            },
            Err(error) => Err(error.into()),
        },
        ObjectKind::Role => role_leftover(vault, mounts, managed).await,
        ObjectKind::AuthMount | ObjectKind::JwtConfig => Ok(Found::Unread),
    };
    (id, found)
}

/// Another method that is mounted there now may have a role of the same name, which is not ours.
async fn role_leftover(vault: &Vault, mounts: &Mounts, managed: &ManagedObject) -> Result<Found, VaultError> {
    let mount = managed.path.rsplit_once('/').map_or("", |(mount, _)| mount);
    match mounts.list(vault).await {
        Ok(list) if list.get(mount).is_some_and(|there| is_jwt(&there.type_)) => Ok(Found::Unread),
        Ok(_) => Ok(Found::Absent),
        // Who may not list the mounts has been given this one.
        Err(VaultError::Denied { .. }) => Ok(Found::Unread),
        Err(error) => Err(error),
    }
}
