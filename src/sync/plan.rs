//! From what should be, what is, and who owns what, to what will be done. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::diff::{self, Change};
use super::kv::{self, KvWrite};
use super::marker::{Marked, Owner};
use super::observe::{Found, Observation, is_jwt};
use crate::api::binding::{Adoption, Ownership};
use crate::api::status::{ManagedObject, ObjectKind, ObjectState};
use crate::desired::{Claim, JwtConfig, Object, ObjectId, Role};

/// What may be taken over although it exists, differs, and this binding is not known to own it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Takeover {
    /// Nothing.
    #[default]
    Nothing,
    /// What carries nobody's marker: a person has seen the plan.
    Unmarked,
    /// What carries another binding's marker as well.
    Everything,
}

impl From<Adoption> for Takeover {
    fn from(adoption: Adoption) -> Self {
        match adoption {
            Adoption::Fail => Self::Nothing,
            Adoption::Adopt => Self::Everything,
        }
    }
}

impl Takeover {
    /// Whether an object with this marker may be taken over.
    pub(crate) fn covers(self, marked: Marked) -> bool {
        self == Self::Everything || (self == Self::Unmarked && marked != Marked::Other)
    }
}

/// How differences are dealt with in this pass.
pub struct Mode<'a> {
    /// Put differences of owned objects right; otherwise only report them.
    pub correct: bool,
    /// What may be taken over although it exists and differs.
    pub takeover: Takeover,
    /// Whose objects these are.
    pub owner: &'a Owner,
    /// Objects that another binding of this cluster has to leave to this one: they may be overwritten although its
    /// marker is on them.
    pub contested: &'a BTreeSet<ObjectId>,
    /// What another binding of this cluster owns now: it is let go and not deleted.
    pub taken: &'a BTreeSet<Claim>,
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
    /// Somebody else owns it.
    Conflict(String),
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
    kept: Vec<&'a ManagedObject>,
}

/// The managed objects that are no longer wanted. `unknown` are objects whose spec has a problem that may pass: they
/// are neither wanted nor left over.
#[must_use]
pub fn leftovers<'a>(
    managed: &'a [ManagedObject],
    objects: &[Object],
    unknown: &BTreeSet<ObjectId>,
) -> Vec<&'a ManagedObject> {
    let wanted: BTreeSet<ObjectId> = objects.iter().map(Object::id).collect();
    managed
        .iter()
        .filter(|managed| {
            let id = managed.id();
            !wanted.contains(&id) && !unknown.contains(&id)
        })
        .collect()
}

/// A record without the keys of KV secrets that another binding owns now.
#[must_use]
pub fn without(managed: &[ManagedObject], taken: &BTreeSet<Claim>) -> Vec<ManagedObject> {
    let lost =
        |id: &ObjectId, key: &String| taken.iter().any(|c| c.id == *id && c.key.as_ref().is_none_or(|k| k == key));
    let one = |managed: &ManagedObject| {
        let (id, mut left) = (managed.id(), managed.clone());
        left.keys.retain(|key| !lost(&id, key));
        (left.keys.is_empty() == managed.keys.is_empty()).then_some(left)
    };
    managed.iter().filter_map(one).collect()
}

impl ManagedObject {
    /// Which object it is.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        ObjectId { kind: self.kind, path: self.path.clone() }
    }
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
    let mut steps: Vec<Step<'a>> = objects
        .iter()
        .map(|object| {
            let id = object.id();
            let record = records.get(&id).copied();
            let (action, changes, kv) = wanted(object, observation.of(&id), record, mode);
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
    Plan { steps, kept }
}

fn wanted(
    object: &Object,
    found: &Result<Found, crate::vault::VaultError>,
    record: Option<&ManagedObject>,
    mode: &Mode<'_>,
) -> (Action, Vec<Change>, KvWrite) {
    let plain = |action, changes| (action, changes, KvWrite::default());
    let Ok(found) = found else { return plain(Action::Unreadable, Vec::new()) };
    let contested = mode.contested.contains(&object.id());
    match (object, found) {
        (Object::AuthMount(_), Found::Mount(type_)) if is_jwt(type_) => plain(Action::Keep, Vec::new()),
        (Object::AuthMount(_), Found::Mount(type_)) => plain(Action::MountType(type_.clone()), Vec::new()),
        (Object::AuthMount(mount), _) if mount.enable => plain(
            Action::Create,
            vec![Change { field: "type".into(), expected: "jwt".into(), found: diff::ABSENT.into() }],
        ),
        (Object::AuthMount(_), _) => plain(Action::MountMissing, Vec::new()),
        (Object::Kv(entry), Found::Kv(found)) => kv::plan(entry, found, record, mode, contested),
        (Object::Policy(policy), Found::Policy(text)) => {
            let (marked, body) = mode.owner.split_policy(text);
            let mut changes = if body == policy.text { Vec::new() } else { diff::lines(&policy.text, Some(body)) };
            // Without its marker it could not be deleted later.
            let unmarked = changes.is_empty() && marked != Marked::Ours;
            let differs = !changes.is_empty() || (unmarked && record.is_some());
            if unmarked {
                changes.push(mode.owner.mark(marked));
            }
            plain(existing(record.is_some(), marked, differs, contested, mode), changes)
        }
        (Object::Policy(policy), _) => plain(missing(record, mode), diff::lines(&policy.text, None)),
        (Object::JwtConfig(JwtConfig { fields, .. }) | Object::Role(Role { fields, .. }), Found::Fields(found)) => {
            let changes = diff::fields(fields, found);
            // Roles and configs have no place for a marker: the record is all there is.
            let marked = if record.is_some() { Marked::Ours } else { Marked::Nobody };
            plain(existing(record.is_some(), marked, !changes.is_empty(), contested, mode), changes)
        }
        (Object::JwtConfig(JwtConfig { fields, .. }) | Object::Role(Role { fields, .. }), _) => {
            plain(missing(record, mode), diff::created(fields))
        }
        (Object::Kv(_), _) => plain(Action::Unreadable, Vec::new()),
    }
}

/// What is done about an object that exists.
fn existing(recorded: bool, marked: Marked, differs: bool, contested: bool, mode: &Mode<'_>) -> Action {
    let owned = match marked {
        Marked::Ours => true,
        Marked::Nobody => recorded,
        Marked::Other => false,
    };
    match (owned, differs) {
        (true, false) if recorded => Action::Keep,
        (true, false) => Action::TakeOver,
        (true, true) if mode.correct || !recorded => Action::Update,
        (true, true) => Action::Report,
        (false, false) if marked == Marked::Nobody => Action::TakeOver,
        (false, _) if contested || mode.takeover.covers(marked) => Action::Adopt,
        (false, _) if marked == Marked::Other => Action::Conflict("it is marked as another binding's".to_owned()),
        (false, _) => Action::Conflict("it exists, differs, and nobody is known to own it".to_owned()),
    }
}

/// What is done about an object that does not exist.
fn missing(record: Option<&ManagedObject>, mode: &Mode<'_>) -> Action {
    match record {
        None => Action::Create,
        Some(record) if record.state == ObjectState::Pending || mode.correct => Action::Create,
        Some(_) => Action::Report,
    }
}

fn unwanted(managed: &ManagedObject, observation: &Observation, mode: &Mode<'_>) -> Action {
    let id = managed.id();
    // Of a KV secret only some keys may be somebody else's.
    if managed.kind != ObjectKind::Kv && mode.taken.iter().any(|claim| claim.id == id) {
        return Action::Release("another binding owns it now");
    }
    match (managed.kind, observation.of(&id)) {
        (_, Err(_)) => Action::Unreadable,
        (ObjectKind::AuthMount, _) => Action::Release("disabling a mount would revoke every token it issued"),
        (ObjectKind::JwtConfig, _) => Action::Release("Vault cannot delete the config of a mount"),
        (ObjectKind::Policy, Ok(Found::Policy(text))) => match mode.owner.split_policy(text).0 {
            Marked::Ours => Action::Delete,
            Marked::Nobody | Marked::Other => Action::Release("it does not carry this binding's marker any more"),
        },
        (ObjectKind::Policy | ObjectKind::Kv | ObjectKind::Role, Ok(Found::Absent)) => {
            Action::Release("it is gone already")
        }
        _ => Action::Delete,
    }
}

/// How far a step has come when its record is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was written yet.
    Announced,
    /// The write failed; what it left behind is not known.
    Failed,
    /// All is done.
    Done,
}

impl Plan<'_> {
    /// What will be managed, to be recorded before the first write: a crash after a write must not lose what it made.
    #[must_use]
    pub fn announced(&self, previous: &[ManagedObject]) -> Vec<ManagedObject> {
        self.records(previous, |_| Stage::Announced)
    }

    /// What is managed when the steps in `failed` did not succeed and all others did.
    pub(crate) fn managed(&self, previous: &[ManagedObject], failed: &BTreeSet<ObjectId>) -> Vec<ManagedObject> {
        self.records(previous, |id| if failed.contains(id) { Stage::Failed } else { Stage::Done })
    }

    fn records(&self, previous: &[ManagedObject], stage: impl Fn(&ObjectId) -> Stage) -> Vec<ManagedObject> {
        let mut records: Vec<ManagedObject> = self.kept.iter().map(|m| (*m).clone()).collect();
        records.extend(self.steps.iter().filter_map(|step| {
            let before = previous.iter().find(|m| m.id() == step.id);
            step.record(before, stage(&step.id))
        }));
        records.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
        records
    }
}

impl Step<'_> {
    /// The record of this step's object.
    fn record(&self, before: Option<&ManagedObject>, reached: Stage) -> Option<ManagedObject> {
        let state = match &self.action {
            Action::Delete | Action::Release(_) if reached == Stage::Done => return None,
            Action::Create | Action::Update => ObjectState::Created,
            Action::Adopt | Action::TakeOver => ObjectState::Adopted,
            Action::Keep
            | Action::Report
            | Action::Delete
            | Action::Release(_)
            // Whatever is there now, the part that is marked as ours may still have to be deleted.
            | Action::Conflict(_)
            | Action::Unreadable
            | Action::MountMissing
            | Action::MountType(_) => return before.cloned(),
        };
        let (mount, mut keys) = match self.target {
            Target::Wanted(Object::Kv(entry)) if entry.ownership == Ownership::Keys => {
                (Some(entry.mount.to_string()), entry.data.keys().cloned().collect())
            }
            Target::Wanted(Object::Kv(entry)) => (Some(entry.mount.to_string()), Vec::new()),
            Target::Wanted(_) | Target::Leftover(_) => (None, Vec::new()),
        };
        let state = match (before, reached) {
            (None, Stage::Done) => state,
            (None, _) => ObjectState::Pending,
            (Some(before), Stage::Done) if before.state == ObjectState::Pending => state,
            (Some(before), _) => before.state,
        };
        if let Some(before) = before
            && reached != Stage::Done
        {
            // Until it is done, the secret may hold the keys of before and those of now.
            if before.keys.is_empty() {
                keys.clear();
            } else {
                keys.extend(before.keys.iter().cloned());
                keys.sort();
                keys.dedup();
            }
        }
        Some(ManagedObject { kind: self.id.kind, path: self.id.path.clone(), state, mount, keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exists_and_is_not_recorded_is_taken_over_by_its_marker() {
        use Takeover::{Everything, Nothing, Unmarked};
        let owner = Owner { cluster: "c".into(), namespace: "ns".into(), name: "b".into() };
        let (none, nothing) = (BTreeSet::new(), BTreeSet::new());
        let rows = [
            (Marked::Ours, false, ["TakeOver", "TakeOver", "TakeOver"]),
            (Marked::Ours, true, ["Update", "Update", "Update"]),
            (Marked::Nobody, false, ["TakeOver", "TakeOver", "TakeOver"]),
            (Marked::Nobody, true, ["Conflict", "Adopt", "Adopt"]),
            (Marked::Other, false, ["Conflict", "Conflict", "Adopt"]),
            (Marked::Other, true, ["Conflict", "Conflict", "Adopt"]),
        ];
        for (marked, differs, expected) in rows {
            for (takeover, expected) in [Nothing, Unmarked, Everything].into_iter().zip(expected) {
                let mode = Mode { correct: true, takeover, owner: &owner, contested: &none, taken: &nothing };
                let action = format!("{:?}", existing(false, marked, differs, false, &mode));
                assert!(action.starts_with(expected), "{marked:?}, differs: {differs}, {takeover:?}: {action}");
            }
        }
    }
}
