//! What is decided about objects that carry somebody's marker, have a record, or are claimed by others too.

use serde_json::json;

use super::*;
use crate::api::names::{MountPath, PolicyName, RoleName};
use crate::desired::{Fields, Policy};
use crate::sync::records;

pub(crate) fn owner(name: &str) -> Owner {
    Owner { cluster: "c".into(), namespace: "ns".into(), name: name.into() }
}

/// What a mode borrows.
pub(crate) struct World {
    pub(crate) owner: Owner,
    pub(crate) refused: BTreeSet<ObjectId>,
    pub(crate) contested: BTreeSet<Ceded>,
    pub(crate) taken: BTreeSet<Claim>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { owner: owner("b"), refused: BTreeSet::new(), contested: BTreeSet::new(), taken: BTreeSet::new() }
    }

    /// The rival has this by its record, and has to leave it.
    pub(crate) fn ceded(mut self, id: ObjectId, key: Option<&str>) -> Self {
        let claim = Claim { id, key: key.map(str::to_owned) };
        self.contested.insert(Ceded { claim, by: owner("rival") });
        self
    }

    pub(crate) fn mode(&self, takeover: Takeover) -> Mode<'_> {
        Mode {
            correct: true,
            generation: 2,
            settled: false,
            takeover,
            owner: &self.owner,
            mount: "jwt",
            refused: &self.refused,
            contested: &self.contested,
            taken: &self.taken,
        }
    }
}

fn role() -> Object {
    let fields = Fields::from([("token_policies", json!(["p"]))]);
    Object::Role(Role { mount: MountPath::new("jwt").unwrap(), name: RoleName::new("r").unwrap(), fields })
}

fn policy() -> Object {
    Object::Policy(Policy { name: PolicyName::new("p").unwrap(), text: "ours\n".into() })
}

fn record(id: ObjectId, state: ObjectState) -> ManagedObject {
    ManagedObject { kind: id.kind, path: id.path, state, mount: None, keys: vec![], applied_generation: None }
}

fn seen<const N: usize>(all: [(&Object, Found); N]) -> Observation {
    Observation(all.into_iter().map(|(object, found)| (object.id(), Ok(found))).collect())
}

fn other_role() -> Found {
    Found::Fields(Fields::from([("token_policies", json!(["theirs"]))]))
}

fn equal(object: &Object) -> Found {
    match object {
        Object::Role(role) => Found::Fields(role.fields.clone()),
        _ => Found::Policy(owner("b").sign_policy("ours\n")),
    }
}

fn action(object: &Object, found: Found, managed: &[ManagedObject], mode: &Mode<'_>) -> Action {
    let objects = [object.clone()];
    plan(&objects, &[], managed, &seen([(object, found)]), mode).steps.remove(0).action
}

#[test]
fn what_exists_and_is_not_recorded_is_taken_over_by_its_marker() {
    let world = World::new();
    let rows = [
        (Marked::Ours, false, ["TakeOver", "TakeOver"]),
        (Marked::Ours, true, ["Update", "Update"]),
        (Marked::Nobody, false, ["TakeOver", "TakeOver"]),
        (Marked::Nobody, true, ["Conflict", "Adopt"]),
        (Marked::Other("prod/ns/b"), false, ["Conflict", "Conflict"]),
        (Marked::Other("prod/ns/b"), true, ["Conflict", "Conflict"]),
    ];
    for (marked, differs, expected) in rows {
        for (takeover, expected) in [Takeover::Nothing, Takeover::Unmarked].into_iter().zip(expected) {
            let claim = Claim { id: policy().id(), key: None };
            let action = format!("{:?}", existing(&claim, None, marked, differs, &world.mode(takeover)));
            assert!(action.starts_with(expected), "{marked:?}, differs: {differs}, {takeover:?}: {action}");
        }
    }
}

#[test]
fn only_what_a_rival_has_is_overwritten_and_only_its_own_marker() {
    let marked = |name: &str| Found::Policy(owner(name).sign_policy("theirs\n"));
    let adopts =
        |world: &World, object: &Object, found| match action(object, found, &[], &world.mode(Takeover::Nothing)) {
            Action::Adopt => true,
            Action::Conflict(_) => false,
            other => panic!("{other:?}"),
        };
    let nobody = World::new();
    assert!(!adopts(&nobody, &role(), other_role()) && !adopts(&nobody, &policy(), marked("rival")));
    let ceded = World::new().ceded(role().id(), None).ceded(policy().id(), None);
    assert!(adopts(&ceded, &role(), other_role()) && adopts(&ceded, &policy(), marked("rival")));
    assert!(!adopts(&ceded, &policy(), marked("third")));
}

#[test]
fn what_is_found_equal_is_pending_no_longer() {
    let (world, object) = (World::new(), role());
    let managed = [record(object.id(), ObjectState::Pending)];
    let objects = [object.clone()];
    let found = seen([(&object, equal(&object))]);
    let plan = plan(&objects, &[], &managed, &found, &world.mode(Takeover::Nothing));
    assert_eq!(plan.steps[0].action, Action::Keep);
    assert_eq!(plan.announced(&managed), managed);
    assert_eq!(plan.managed(&managed, &BTreeSet::new())[0].state, ObjectState::Created);
}

#[test]
fn what_is_only_looked_at_gets_no_record() {
    use crate::desired::AuthMount;
    let world = World::new();
    let objects = [Object::AuthMount(AuthMount { mount: MountPath::new("jwt").unwrap(), enable: true })];
    let found = seen([(&objects[0], Found::Mount("jwt".into()))]);
    let plan = plan(&objects, &[], &[], &found, &world.mode(Takeover::Nothing));
    assert_eq!(plan.managed(&[], &BTreeSet::new()), []);
}

#[test]
fn a_record_of_a_role_on_another_mount_deletes_nothing() {
    let world = World::new();
    let managed =
        ["jwt/r", "other/r", "r"].map(|path| record(ObjectId::new(ObjectKind::Role, path), ObjectState::Created));
    let leftovers: Vec<&ManagedObject> = managed.iter().collect();
    let plan = plan(&[], &leftovers, &managed, &Observation::default(), &world.mode(Takeover::Nothing));
    let deleted = plan.steps.iter().filter(|step| step.action == Action::Delete).map(|step| step.id.path.as_str());
    assert_eq!(deleted.collect::<Vec<_>>(), ["jwt/r"]);
}

#[test]
fn a_role_waits_for_its_bindings_own_policy_unless_that_stands_already() {
    let mut world = World::new();
    let (object, wanted) = (role(), [role()]);
    assert_eq!(action(&object, Found::Absent, &[], &world.mode(Takeover::Nothing)), Action::Create);
    world.refused.insert(policy().id());
    let mode = world.mode(Takeover::Nothing);
    assert_eq!(action(&object, Found::Absent, &[], &mode), Action::PolicyMissing("p".into()));
    // An edit that goes wrong: the policy is there as it was.
    let managed = [record(policy().id(), ObjectState::Created)];
    assert_eq!(action(&object, Found::Absent, &managed, &mode), Action::Create);
    // A grant that has gone: the policy goes in the same pass.
    let leftovers = records::leftovers(&managed, &wanted, &BTreeSet::new());
    let plan = plan(&wanted, &leftovers, &managed, &seen([(&object, Found::Absent)]), &mode);
    assert_eq!(plan.steps[0].action, Action::PolicyMissing("p".into()));
}

#[test]
fn with_drift_report_a_new_spec_is_applied_to_each_object_once() {
    let world = World::new();
    let at = |applied| [ManagedObject { applied_generation: applied, ..record(role().id(), ObjectState::Created) }];
    for (applied, settled, expected) in [
        // Applied already, although other objects of this generation are not.
        (Some(2), false, Action::Report),
        // Not applied yet, although this generation was judged.
        (Some(1), true, Action::Update),
        (None, true, Action::Report),
        (None, false, Action::Update),
    ] {
        let mode = Mode { correct: false, settled, ..world.mode(Takeover::Nothing) };
        assert_eq!(action(&role(), other_role(), &at(applied), &mode), expected, "{applied:?}, settled: {settled}");
    }
    let (objects, managed) = ([role()], at(Some(1)));
    let plan = plan(&objects, &[], &managed, &seen([(&role(), other_role())]), &world.mode(Takeover::Nothing));
    let failed = BTreeSet::from([role().id()]);
    assert_eq!(plan.managed(&managed, &failed)[0].applied_generation, Some(1));
    assert_eq!(plan.managed(&managed, &BTreeSet::new())[0].applied_generation, Some(2));
}
