//! What must exist in Vault: a binding's spec, the references it resolved to and the grants that apply to its namespace
//! go in, Vault objects and the problems that keep others out come out. Pure: no I/O, no clock, no async.
//!
//! The invariant: each object that a spec names is in [`Desired::objects`], or at least one [`Problem`] says why not.

mod auth_mount;
mod binding;
mod check;
mod claims;
pub mod grants;
mod issuer_url;
mod jwt_config;
mod kv;
mod login;
mod pem;
mod policy;
mod reference;
mod role;
pub mod rule_path;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use secrecy::SecretString;

use crate::api::VaultJwtBindingSpec;
use crate::api::binding::Ownership;
use crate::api::names::{KvPath, MountPath, PolicyName, RoleName};
use crate::api::status::ObjectKind;

use check::Check;
pub use claims::{Claim, claims};
pub use grants::Granted;
pub use reference::{Lookup, Reference, References, references};

/// Every owned field of an object in Vault's name, in the form in which Vault reads it back; empty ones too.
pub type Fields = BTreeMap<&'static str, serde_json::Value>;

/// Which object in Vault, as `status.managedObjects` names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// Its kind.
    pub kind: ObjectKind,
    /// The mount, `<mount>/<role>`, the policy's name, or `<mount>/<path>` of a KV secret.
    pub path: String,
}

impl ObjectId {
    pub(crate) fn new(kind: ObjectKind, path: impl Into<String>) -> Self {
        Self { kind, path: path.into() }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.path)
    }
}

/// An object that must exist in Vault.
#[derive(Clone, Debug)]
pub enum Object {
    /// A jwt auth mount.
    AuthMount(AuthMount),
    /// An ACL policy.
    Policy(Policy),
    /// A KV secret, or some of its keys.
    Kv(KvEntry),
    /// The config of a jwt mount.
    JwtConfig(JwtConfig),
    /// A role of a jwt mount.
    Role(Role),
}

/// A jwt auth mount that must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthMount {
    /// Where it is mounted, without `auth/`.
    pub mount: MountPath,
    /// Whether it may be enabled when nothing is mounted there.
    pub enable: bool,
}

/// An ACL policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub name: PolicyName,
    /// Its text, without the ownership marker.
    pub text: String,
}

/// A KV secret, or some of its keys.
#[derive(Clone, Debug)]
pub struct KvEntry {
    /// The mount of the KV engine.
    pub mount: MountPath,
    /// The logical path, without `data/`.
    pub path: KvPath,
    /// Whether the keys are owned or the whole secret.
    pub ownership: Ownership,
    /// The keys and their values.
    pub data: BTreeMap<String, SecretString>,
}

/// The config of a jwt mount.
#[derive(Clone, Debug, PartialEq)]
pub struct JwtConfig {
    /// The mount.
    pub mount: MountPath,
    /// All fields that Vault reads back.
    pub fields: Fields,
}

/// A role of a jwt mount.
#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    /// The mount.
    pub mount: MountPath,
    /// Its name.
    pub name: RoleName,
    /// All fields that Vault reads back.
    pub fields: Fields,
}

impl Role {
    /// The policies that it hands out.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &str> {
        let policies = self.fields.get("token_policies").and_then(serde_json::Value::as_array);
        policies.into_iter().flatten().filter_map(serde_json::Value::as_str)
    }
}

impl Object {
    /// Which object it is.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        match self {
            Self::AuthMount(o) => ObjectId::new(ObjectKind::AuthMount, o.mount.as_str()),
            Self::Policy(o) => ObjectId::new(ObjectKind::Policy, o.name.as_str()),
            Self::Kv(o) => ObjectId::new(ObjectKind::Kv, format!("{}/{}", o.mount, o.path)),
            Self::JwtConfig(o) => ObjectId::new(ObjectKind::JwtConfig, o.mount.as_str()),
            Self::Role(o) => ObjectId::new(ObjectKind::Role, format!("{}/{}", o.mount, o.name)),
        }
    }
}

/// What kind of problem it is; it decides what can cure it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The spec must change.
    Invalid,
    /// A grant must be added, or the spec must ask for less.
    NotGranted,
    /// A Secret, a `ConfigMap` or a key of one must appear.
    ReferenceNotFound,
    /// What a reference names must change.
    ReferenceInvalid,
}

/// Why an object cannot be as the spec wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of problem.
    pub kind: ProblemKind,
    /// The field of the binding, e.g. `spec.roles[0].tokenTtl`.
    pub field: String,
    /// What is wrong and what to do next; never a secret value.
    pub message: String,
    /// The object that is left out because of it; none when it concerns the binding or its login.
    pub object: Option<ObjectId>,
}

/// What must exist in Vault, and what stands in the way of the rest.
#[derive(Clone, Debug)]
pub struct Desired {
    /// In the order of creation: mount, policies, KV, config, roles, so that nobody logs in before their policy exists.
    pub objects: Vec<Object>,
    /// All of them, in the order of the spec.
    pub problems: Vec<Problem>,
}

impl Desired {
    /// Leaves out what is another binding's: whole objects, or keys of a secret of which the others stay wanted.
    pub fn leave(&mut self, lost: &BTreeSet<Claim>) {
        self.objects.retain_mut(|object| {
            let id = object.id();
            let mut lost = lost.iter().filter(|claim| claim.id == id).peekable();
            match object {
                Object::Kv(entry) if entry.ownership == Ownership::Keys => {
                    for claim in lost {
                        entry.data.retain(|key, _| claim.key.as_ref().is_some_and(|lost| lost != key));
                    }
                    !entry.data.is_empty()
                }
                _ => lost.peek().is_none(),
            }
        });
    }
}

/// What a spec is judged by, besides itself.
#[derive(Clone, Copy)]
struct Context<'a> {
    spec: &'a VaultJwtBindingSpec,
    references: &'a References,
    granted: &'a Granted<'a>,
}

/// The Vault objects that `spec` asks for and is allowed, and every problem of the others.
#[must_use]
pub fn desired(spec: &VaultJwtBindingSpec, references: &References, granted: &Granted<'_>) -> Desired {
    let context = Context { spec, references, granted };
    let mut problems = Vec::new();
    binding::check(spec, &mut problems);
    let mut objects = Vec::new();
    objects.extend(auth_mount::desired(context, &mut problems));
    // Reported after config and roles, as in the spec; created before them.
    let config = jwt_config::desired(context, &mut problems);
    let roles = role::desired(context, &mut problems);
    objects.extend(policy::desired(context, &mut problems));
    objects.extend(kv::desired(context, &mut problems));
    objects.extend(config);
    objects.extend(roles);
    login::check(context, &mut problems);
    // Of two entries for one object, the second has the problem and neither can be meant.
    objects.retain(|object| {
        let id = object.id();
        !problems.iter().any(|problem| problem.object.as_ref() == Some(&id))
    });
    Desired { objects, problems }
}
