//! From what should be, what is, and who owns what, to what will be done. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::diff::{self, Change};
use super::kv::{self, KvWrite};
use super::marker::{Marked, Owner};
use super::observe::{Found, Observation, is_jwt};
use crate::api::binding::Adoption;
use crate::api::status::{ManagedObject, ObjectKind, ObjectState};
use crate::desired::{Claim, JwtConfig, Object, ObjectId, Role};

/// What may be taken over although it exists, differs, and this binding is not known to own it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takeover {
    /// Nothing.
    #[default]
    Nothing,
    /// What carries nobody's marker. What carries another binding's is never taken: both would undo each other's work
    /// for ever.
    Unmarked,
}

impl From<Adoption> for Takeover {
    fn from(adoption: Adoption) -> Self {
        match adoption {
            Adoption::Fail => Self::Nothing,
            Adoption::Adopt => Self::Unmarked,
        }
    }
}

/// What another binding of this cluster has by its record, and has to leave to this one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ceded {
    /// What it is.
    pub claim: Claim,
    /// The other binding: its marker may be on it.
    pub by: Owner,
}

/// How differences are dealt with in this pass.
pub struct Mode<'a> {
    /// Put differences of owned objects right; otherwise only report them, once the spec was applied to the object.
    pub correct: bool,
    /// The generation of the spec.
    pub generation: i64,
    /// Whether this generation was dealt with before, for records that do not say what was applied to their object.
    pub settled: bool,
    /// What may be taken over although it exists and differs.
    pub takeover: Takeover,
    /// Whose objects these are.
    pub owner: &'a Owner,
    /// The binding's auth mount, which cannot change.
    pub mount: &'a str,
    /// Objects that the spec names and that cannot be as it wants them.
    pub refused: &'a BTreeSet<ObjectId>,
    /// What may be overwritten although another binding of this cluster made it.
    pub contested: &'a BTreeSet<Ceded>,
    /// What another binding of this cluster owns now: it is let go and not deleted.
    pub taken: &'a BTreeSet<Claim>,
}

impl Mode<'_> {
    /// Whether what exists with this marker, and is not known to be this binding's, may be overwritten.
    pub(crate) fn covers(&self, claim: &Claim, marked: Marked<'_>) -> bool {
        let mut ceded = self.contested.iter().filter(|ceded| ceded.claim.conflicts_with(claim));
        match marked {
            Marked::Ours => true,
            Marked::Nobody => self.takeover == Takeover::Unmarked || ceded.next().is_some(),
            Marked::Other(name) => ceded.any(|ceded| ceded.by.to_string() == name),
        }
    }

    /// Whether a difference of an object with this record is put right.
    pub(crate) fn corrects(&self, record: &ManagedObject) -> bool {
        self.correct || record.applied_generation.map_or(!self.settled, |applied| applied != self.generation)
    }
}

/// What is done about one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is as it should be.
    Keep,
    /// It does not exist yet.
    Create,
    /// It is owned and differs.
    Update,
    /// It exists, equals the spec and is owned from now on.
    TakeOver,
    /// It exists, differs, is taken over and put right.
    Adopt,
    /// It is owned and differs, and is left so.
    Report,
    /// It is no longer wanted.
    Delete,
    /// It is no longer wanted, and stays: Vault cannot delete it, or it is somebody else's now.
    Release(&'static str),
    /// Somebody else owns it: why, and what to do.
    Conflict(String),
    /// It hands out a policy of this binding that is not there.
    PolicyMissing(String),
    /// The auth mount is not there and must not be enabled.
    MountMissing,
    /// Something else is mounted there.
    MountType(String),
    /// It could not be read; the observation says why.
    Unreadable,
}

impl Action {
    /// Whether Vault is written.
    #[must_use]
    pub fn writes(&self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::TakeOver | Self::Adopt | Self::Delete)
    }
}

/// What a step is about.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    Wanted(&'a Object),
    Leftover(&'a ManagedObject),
}

impl Step<'_> {
    /// Whether Vault is written. To take over a role or a config that is equal, or what carries the marker already,
    /// only has to be recorded.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.action.writes() && (self.action != Action::TakeOver || !self.changes.is_empty())
    }
}

/// One object and what is done about it.
pub struct Step<'a> {
    /// The object.
    pub id: ObjectId,
    /// What is done.
    pub action: Action,
    /// The fields that differ.
    pub changes: Vec<Change>,
    pub(crate) target: Target<'a>,
    pub(crate) kv: KvWrite,
}

/// All steps, in the order in which they are taken.
pub struct Plan<'a> {
    /// The steps.
    pub steps: Vec<Step<'a>>,
    /// Managed objects whose desired state is not known in this pass: they stay as they are.
    pub(super) kept: Vec<&'a ManagedObject>,
    pub(super) generation: i64,
}

/// Plans one pass.
#[must_use]
pub fn plan<'a>(
    objects: &'a [Object],
    leftovers: &[&'a ManagedObject],
    managed: &'a [ManagedObject],
    observation: &Observation,
    mode: &Mode<'_>,
) -> Plan<'a> {
    let records: BTreeMap<ObjectId, &ManagedObject> = managed.iter().map(|m| (m.id(), m)).collect();
    // What has a record and is not left over stands as it was.
    let stands = |id: &ObjectId| records.contains_key(id) && !leftovers.iter().any(|leftover| leftover.id() == *id);
    let refused = mode.refused.iter().filter(|id| id.kind == ObjectKind::Policy && !stands(id));
    let missing: BTreeSet<&str> = refused.map(|id| id.path.as_str()).collect();
    let mut steps: Vec<Step<'a>> = objects
        .iter()
        .map(|object| {
            let id = object.id();
            let record = records.get(&id).copied();
            let (mut action, changes, kv) = wanted(object, observation.of(&id), record, mode);
            if let Object::Role(role) = object
                && action.writes()
                && let Some(policy) = role.policies().find(|policy| missing.contains(policy))
            {
                action = Action::PolicyMissing(policy.to_owned());
            }
            Step { id, action, changes, target: Target::Wanted(object), kv }
        })
        .collect();
    let mut deletions: Vec<&ManagedObject> = leftovers.to_vec();
    // Roles first, so that nobody can log in to a policy that is about to go.
    deletions.sort_by_key(|managed| std::cmp::Reverse(managed.kind));
    steps.extend(deletions.into_iter().map(|managed| Step {
        id: managed.id(),
        action: unwanted(managed, observation, mode),
        changes: Vec::new(),
        target: Target::Leftover(managed),
        kv: KvWrite::sparing(managed, mode.taken),
    }));
    let planned: BTreeSet<ObjectId> = steps.iter().map(|step| step.id.clone()).collect();
    let kept = managed.iter().filter(|managed| !planned.contains(&managed.id())).collect();
    Plan { steps, kept, generation: mode.generation }
}

fn wanted(
    object: &Object,
    found: &Result<Found, crate::vault::VaultError>,
    record: Option<&ManagedObject>,
    mode: &Mode<'_>,
) -> (Action, Vec<Change>, KvWrite) {
    let plain = |action, changes| (action, changes, KvWrite::default());
    let Ok(found) = found else { return plain(Action::Unreadable, Vec::new()) };
    let claim = Claim { id: object.id(), key: None };
    match (object, found) {
        (Object::AuthMount(_), Found::Mount(type_)) if is_jwt(type_) => plain(Action::Keep, Vec::new()),
        (Object::AuthMount(_), Found::Mount(type_)) => plain(Action::MountType(type_.clone()), Vec::new()),
        (Object::AuthMount(mount), _) if mount.enable => plain(
            Action::Create,
            vec![Change { field: "type".into(), expected: "jwt".into(), found: diff::ABSENT.into() }],
        ),
        (Object::AuthMount(_), _) => plain(Action::MountMissing, Vec::new()),
        (Object::Kv(entry), Found::Kv(found)) => kv::plan(entry, found, record, mode),
        (Object::Policy(policy), Found::Policy(text)) => {
            let (marked, body) = mode.owner.split_policy(text);
            let mut changes = if body == policy.text { Vec::new() } else { diff::lines(&policy.text, Some(body)) };
            // Without its marker it could not be deleted later.
            let unmarked = changes.is_empty() && marked != Marked::Ours;
            let differs = !changes.is_empty() || (unmarked && record.is_some());
            if unmarked {
                changes.push(mode.owner.mark(marked));
            }
            plain(existing(&claim, record, marked, differs, mode), changes)
        }
        (Object::Policy(policy), _) => plain(missing(record, mode), diff::lines(&policy.text, None)),
        (Object::JwtConfig(JwtConfig { fields, .. }) | Object::Role(Role { fields, .. }), Found::Fields(found)) => {
            let changes = diff::fields(fields, found);
            // Roles and configs have no place for a marker: the record is all there is.
            let marked = if record.is_some() { Marked::Ours } else { Marked::Nobody };
            plain(existing(&claim, record, marked, !changes.is_empty(), mode), changes)
        }
        (Object::JwtConfig(JwtConfig { fields, .. }) | Object::Role(Role { fields, .. }), _) => {
            plain(missing(record, mode), diff::created(fields))
        }
        (Object::Kv(_), _) => plain(Action::Unreadable, Vec::new()),
    }
}

/// What is done about an object that exists.
fn existing(
    claim: &Claim,
    record: Option<&ManagedObject>,
    marked: Marked<'_>,
    differs: bool,
    mode: &Mode<'_>,
) -> Action {
    let owned = match marked {
        Marked::Ours => true,
        Marked::Nobody => record.is_some(),
        Marked::Other(_) => false,
    };
    match (owned, differs) {
        (true, false) if record.is_some() => Action::Keep,
        (true, false) => Action::TakeOver,
        (true, true) if record.is_none_or(|record| mode.corrects(record)) => Action::Update,
        (true, true) => Action::Report,
        (false, false) if marked == Marked::Nobody => Action::TakeOver,
        (false, _) if mode.covers(claim, marked) => Action::Adopt,
        (false, _) => conflict("it", "the first line of its text", marked),
    }
}

/// Why what exists is left alone, and what to do.
pub(crate) fn conflict(what: &str, place: &str, marked: Marked<'_>) -> Action {
    Action::Conflict(match marked {
        Marked::Other(name) => format!(
            "{what} is marked as another binding's, '{}'; choose another name, or have it given up there and its marker \
             removed, which is {place}",
            diff::cut(name)
        ),
        Marked::Ours | Marked::Nobody => format!(
            "{what} exists, differs, and nobody is known to own it; set adoption: Adopt to take it over, or choose \
             another name"
        ),
    })
}

/// What is done about an object that does not exist.
fn missing(record: Option<&ManagedObject>, mode: &Mode<'_>) -> Action {
    match record {
        None => Action::Create,
        Some(record) if record.state == ObjectState::Pending || mode.corrects(record) => Action::Create,
        Some(_) => Action::Report,
    }
}

fn unwanted(managed: &ManagedObject, observation: &Observation, mode: &Mode<'_>) -> Action {
    let id = managed.id();
    // Of a KV secret only some keys may be somebody else's.
    if managed.kind != ObjectKind::Kv && mode.taken.iter().any(|claim| claim.id == id) {
        return Action::Release("another binding owns it now");
    }
    // A record of a role elsewhere is not this binding's work: somebody wrote it into the status.
    if managed.kind == ObjectKind::Role && managed.path.rsplit_once('/').is_none_or(|(mount, _)| mount != mode.mount) {
        return Action::Release("it is not on this binding's auth mount");
    }
    match (managed.kind, observation.of(&id)) {
        (_, Err(_)) => Action::Unreadable,
        (ObjectKind::AuthMount, _) => Action::Release("disabling a mount would revoke every token it issued"),
        (ObjectKind::JwtConfig, _) => Action::Release("Vault cannot delete the config of a mount"),
        (ObjectKind::Policy, Ok(Found::Policy(text))) => match mode.owner.split_policy(text).0 {
            Marked::Ours => Action::Delete,
            Marked::Nobody | Marked::Other(_) => Action::Release("it does not carry this binding's marker any more"),
        },
        (ObjectKind::Policy | ObjectKind::Kv | ObjectKind::Role, Ok(Found::Absent)) => {
            Action::Release("it is gone already")
        }
        _ => Action::Delete,
    }
}

#[cfg(test)]
pub(crate) mod tests;
