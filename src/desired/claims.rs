//! What a spec lays claim to in Vault, whether or not it is valid or granted: the ground on which conflicts between
//! bindings are found. Auth mounts are shared and never claimed.

use crate::api::VaultJwtBindingSpec;
use crate::api::binding::Ownership;
use crate::api::status::ObjectKind;

use super::ObjectId;

/// One object, or one key of a KV secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// The object.
    pub id: ObjectId,
    /// The key of a KV secret; none when the object is claimed as a whole.
    pub key: Option<String>,
}

impl Claim {
    /// Whether both cannot be held by different bindings. The whole of a KV secret conflicts with each of its keys.
    #[must_use]
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.id == other.id && (self.key.is_none() || other.key.is_none() || self.key == other.key)
    }
}

/// The config, roles, policies and KV keys that a spec claims, in the order of the spec.
#[must_use]
pub fn claims(spec: &VaultJwtBindingSpec) -> Vec<Claim> {
    let mount = &spec.auth.mount;
    let whole = |kind, path: String| Claim { id: ObjectId::new(kind, path), key: None };
    let mut claims = Vec::new();
    claims.extend(spec.auth.config.iter().map(|_| whole(ObjectKind::JwtConfig, mount.clone())));
    claims.extend(spec.roles.iter().map(|role| whole(ObjectKind::Role, format!("{mount}/{}", role.name))));
    claims.extend(spec.policies.iter().map(|policy| whole(ObjectKind::Policy, policy.name.clone())));
    for entry in &spec.kv {
        let claim = whole(ObjectKind::Kv, format!("{}/{}", entry.mount, entry.path));
        match entry.ownership {
            Ownership::Secret => claims.push(claim),
            Ownership::Keys => {
                claims.extend(entry.data.iter().map(|item| Claim { key: Some(item.key.clone()), ..claim.clone() }));
            }
        }
    }
    claims
}
