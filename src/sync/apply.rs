//! Writes what a plan says: mounts, policies and KV before config and roles, so that nobody can log in before their
//! policy exists; deletions last, roles first. What is written is read back. A step that fails stops only the steps
//! that need it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::diff::{self, Change};
use super::kv;
use super::marker::Owner;
use super::memory::{Memory, Mounts};
use super::observe::{Found, Observation, is_jwt};
use super::plan::{Action, Plan, Step, Target};
use crate::api::names::{MountPath, PolicyName, RoleName};
use crate::api::status::{Drift, ManagedObject, ObjectKind};
use crate::desired::{AuthMount, JwtConfig, Object, ObjectId, Role};
use crate::vault::{Vault, VaultError};

/// Why an object is not as it should be.
#[derive(Debug)]
pub enum Cause {
    /// A request failed.
    Vault(VaultError),
    /// What was written does not read back the same.
    ReadBackDiffers(Vec<Change>),
    /// Somebody else owns it.
    Conflict(String),
    /// The auth mount is not there, and `auth.enable` is not set.
    MountMissing,
    /// Something else is mounted there.
    MountType(String),
    /// The auth mount is not as it should be, for a reason of its own.
    WaitsForMount,
    /// Vault still waits for the issuer; the write goes on.
    IssuerSlow,
    /// A policy that the role hands out could not be written.
    PolicyMissing(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vault(error) => error.fmt(f),
            Self::ReadBackDiffers(changes) => {
                f.write_str("Vault does not keep what was written:")?;
                changes.iter().try_for_each(|Change { field, expected, found }| {
                    write!(f, " {field} is {found} and not {expected};")
                })?;
                f.write_str(" look for whoever else writes it")
            }
            Self::Conflict(why) => f.write_str(why),
            Self::MountMissing => f.write_str("nothing is mounted there; set auth.enable or mount the jwt method"),
            Self::MountType(type_) => write!(f, "'{type_}' is mounted there and not 'jwt'; choose another auth.mount"),
            Self::WaitsForMount => f.write_str("waits for the auth mount, which is not as it should be"),
            Self::IssuerSlow => f.write_str(
                "Vault still waits for the issuer's answer, for up to 90 s, before it takes the config; see that Vault \
                 can reach the URL",
            ),
            Self::PolicyMissing(policy) => {
                write!(f, "waits for policy '{policy}', so that nobody logs in before it exists")
            }
        }
    }
}

/// An object that is not as it should be.
#[derive(Debug)]
pub struct Failure {
    /// The object.
    pub id: ObjectId,
    /// Why.
    pub cause: Cause,
}

/// What a pass did.
#[derive(Default)]
pub struct Report {
    /// What the binding owns now.
    pub managed: Vec<ManagedObject>,
    /// Differences that were left.
    pub drift: Vec<Drift>,
    /// Objects that were written, with what was changed.
    pub written: Vec<(ObjectId, Action, Vec<Change>)>,
    /// Objects that were deleted.
    pub deleted: Vec<ObjectId>,
    /// Objects that were let go, and why.
    pub released: Vec<(ObjectId, &'static str)>,
    /// Objects that are not as they should be.
    pub failures: Vec<Failure>,
}

/// What [`apply`] needs besides the plan.
pub struct Context<'a> {
    /// The Vault.
    pub vault: &'a Vault,
    /// Its auth mounts.
    pub mounts: &'a Mounts,
    /// Whose objects these are.
    pub owner: &'a Owner,
    /// How long to wait for a config write, which goes on by itself when it takes longer: Vault checks the issuer's
    /// URL while it is written, for up to 90 s.
    pub config_patience: Duration,
    /// Called after each step with the number of steps done.
    pub progress: &'a (dyn Fn(usize) + Sync),
}

enum Done {
    Nothing,
    Written,
    Deleted,
    Released(&'static str),
}

/// Applies a plan.
pub async fn apply(
    context: &Context<'_>,
    plan: &Plan<'_>,
    previous: &[ManagedObject],
    observation: &Observation,
    memory: &mut Memory,
) -> Report {
    let mut report = Report::default();
    let mut failed = BTreeSet::new();
    for (done, step) in plan.steps.iter().enumerate() {
        match take(context, step, observation, &failed, memory).await {
            Ok(Done::Nothing) => {}
            Ok(Done::Written) => {
                report.written.push((step.id.clone(), step.action.clone(), step.changes.clone()));
            }
            Ok(Done::Deleted) => report.deleted.push(step.id.clone()),
            Ok(Done::Released(why)) => report.released.push((step.id.clone(), why)),
            Err(cause) => {
                failed.insert(step.id.clone());
                report.failures.push(Failure { id: step.id.clone(), cause });
            }
        }
        if step.action == Action::Report {
            report.drift.extend(step.changes.iter().map(|change| Drift {
                object: step.id.to_string(),
                field: change.field.clone(),
                expected: change.expected.clone(),
                found: change.found.clone(),
            }));
        }
        (context.progress)(done + 1);
    }
    report.managed = plan.managed(previous, &failed);
    report
}

async fn take(
    context: &Context<'_>,
    step: &Step<'_>,
    observation: &Observation,
    failed: &BTreeSet<ObjectId>,
    memory: &mut Memory,
) -> Result<Done, Cause> {
    match &step.action {
        Action::Keep => {
            if let (Target::Wanted(object), Ok(Found::Kv(found))) = (step.target, observation.of(&step.id)) {
                kv::remember(&step.id, object, found, memory);
            }
            Ok(Done::Nothing)
        }
        Action::Report => Ok(Done::Nothing),
        Action::Release(why) => Ok(Done::Released(why)),
        Action::Conflict(why) => Err(Cause::Conflict(why.clone())),
        Action::PolicyMissing(policy) => Err(Cause::PolicyMissing(policy.clone())),
        Action::MountMissing => Err(Cause::MountMissing),
        Action::MountType(type_) => Err(Cause::MountType(type_.clone())),
        Action::Unreadable => match observation.of(&step.id) {
            Err(error) => Err(Cause::Vault(error.clone())),
            Ok(_) => Ok(Done::Nothing),
        },
        Action::Delete => delete(context, step, observation).await.map_err(Cause::Vault),
        Action::Create | Action::Update | Action::TakeOver | Action::Adopt => match step.target {
            Target::Wanted(object) => write(context, step, object, observation, failed, memory).await,
            Target::Leftover(_) => Ok(Done::Nothing),
        },
    }
}

async fn write(
    context: &Context<'_>,
    step: &Step<'_>,
    object: &Object,
    observation: &Observation,
    failed: &BTreeSet<ObjectId>,
    memory: &mut Memory,
) -> Result<Done, Cause> {
    let vault = context.vault;
    if !step.writes() {
        if let Ok(Found::Kv(found)) = observation.of(&step.id) {
            kv::remember(&step.id, object, found, memory);
        }
        return Ok(Done::Nothing);
    }
    if let Object::JwtConfig(JwtConfig { mount, .. }) | Object::Role(Role { mount, .. }) = object
        && failed.contains(&ObjectId { kind: ObjectKind::AuthMount, path: mount.to_string() })
    {
        return Err(Cause::WaitsForMount);
    }
    match object {
        Object::AuthMount(mount) => {
            enable(context, mount).await?;
            memory.mount_seen = true;
        }
        Object::Policy(policy) => {
            let text = context.owner.sign_policy(&policy.text);
            vault.write_policy(&policy.name, &text).await.map_err(Cause::Vault)?;
            let found = vault.read_policy(&policy.name).await.map_err(Cause::Vault)?;
            read_back(diff::lines(&text, found.as_deref()))?;
        }
        Object::Kv(entry) => {
            if let Ok(Found::Kv(found)) = observation.of(&step.id) {
                kv::write(context, &step.id, entry, found, &step.kv, memory).await.map_err(Cause::Vault)?;
            }
        }
        Object::JwtConfig(config) => write_config(context, config).await?,
        Object::Role(role) => {
            if let Some(policy) = missing_policy(role, failed) {
                return Err(Cause::PolicyMissing(policy));
            }
            vault.write_role(&role.mount, &role.name, &role.fields).await.map_err(Cause::Vault)?;
            let found = vault.read_role(&role.mount, &role.name).await.map_err(Cause::Vault)?;
            read_back(diff::fields(&role.fields, &found.unwrap_or_default()))?;
        }
    }
    Ok(Done::Written)
}

async fn write_config(context: &Context<'_>, config: &JwtConfig) -> Result<(), Cause> {
    let write = context.vault.write_config(&config.mount, &config.fields);
    match tokio::time::timeout(context.config_patience, write).await {
        Ok(written) => written.map_err(Cause::Vault)?,
        Err(_) => return Err(Cause::IssuerSlow),
    }
    let found = context.vault.read_config(&config.mount).await.map_err(Cause::Vault)?;
    read_back(diff::fields(&config.fields, &found.unwrap_or_default()))
}

fn read_back(changes: Vec<Change>) -> Result<(), Cause> {
    if changes.is_empty() { Ok(()) } else { Err(Cause::ReadBackDiffers(changes)) }
}

/// The first policy of this binding that the role hands out and that could not be written.
fn missing_policy(role: &Role, failed: &BTreeSet<ObjectId>) -> Option<String> {
    let mut policies = role.policies().map(str::to_owned);
    policies.find(|name| failed.contains(&ObjectId { kind: ObjectKind::Policy, path: name.clone() }))
}

/// Enables the jwt method, unless somebody else has done so since the mounts were listed.
async fn enable(context: &Context<'_>, mount: &AuthMount) -> Result<(), Cause> {
    let refused = match context.mounts.enable(context.vault, &mount.mount).await {
        Ok(()) => None,
        Err(error @ VaultError::Rejected { .. }) => Some(error),
        Err(error) => return Err(Cause::Vault(error)),
    };
    let mounts = context.mounts.list(context.vault).await.map_err(Cause::Vault)?;
    match (mounts.get(mount.mount.as_str()), refused) {
        (Some(there), _) if is_jwt(&there.type_) => Ok(()),
        (Some(there), _) => Err(Cause::MountType(there.type_.clone())),
        (None, refused) => Err(refused.map_or(Cause::MountMissing, Cause::Vault)),
    }
}

async fn delete(context: &Context<'_>, step: &Step<'_>, observation: &Observation) -> Result<Done, VaultError> {
    let Target::Leftover(managed) = step.target else { return Ok(Done::Nothing) };
    let vault = context.vault;
    match managed.kind {
        ObjectKind::Role => {
            let (mount, name) = managed.path.rsplit_once('/').unwrap_or_default();
            let deleted = vault.delete_role(&MountPath::new(mount)?, &RoleName::new(name)?).await;
            // A mount that is gone took its roles along.
            if !matches!(deleted, Err(VaultError::NoMount { .. })) {
                deleted?;
            }
        }
        ObjectKind::Policy => vault.delete_policy(&PolicyName::new(&managed.path)?).await?,
        ObjectKind::Kv => {
            if let Ok(Found::Kv(found)) = observation.of(&step.id)
                && !kv::delete(vault, managed, found, &step.kv, context.owner).await?
            {
                return Ok(Done::Released("nothing of it carries this binding's marker any more"));
            }
        }
        ObjectKind::AuthMount | ObjectKind::JwtConfig => return Ok(Done::Nothing),
    }
    Ok(Done::Deleted)
}
