//! What a binding owns, as its status records it: what is left over of an earlier spec, what another binding has now, and
//! what is recorded before and after the steps of a plan. Pure.

use std::collections::BTreeSet;

use super::plan::{Action, Plan, Step, Target};
use crate::api::binding::Ownership;
use crate::api::status::{ManagedObject, ObjectState};
use crate::desired::{Claim, Object, ObjectId};

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
            step.record(before, stage(&step.id), self.generation)
        }));
        records.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
        records
    }
}

impl Step<'_> {
    /// The record of this step's object.
    fn record(&self, before: Option<&ManagedObject>, reached: Stage, generation: i64) -> Option<ManagedObject> {
        let state = match &self.action {
            Action::Delete | Action::Release(_) if reached == Stage::Done => return None,
            Action::Keep if reached == Stage::Done && before.is_some() => ObjectState::Created,
            Action::Create | Action::Update => ObjectState::Created,
            Action::Adopt | Action::TakeOver => ObjectState::Adopted,
            Action::Keep
            | Action::Report
            | Action::Delete
            | Action::Release(_)
            // Whatever is there now, the part that is marked as ours may still have to be deleted.
            | Action::Conflict(_)
            | Action::PolicyMissing(_)
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
        let applied_generation =
            if reached == Stage::Done { Some(generation) } else { before.and_then(|before| before.applied_generation) };
        Some(ManagedObject { kind: self.id.kind, path: self.id.path.clone(), state, mount, keys, applied_generation })
    }
}
