//! What of a secret is overwritten, and what is somebody else's.

use super::*;
use crate::api::status::ObjectState;
use crate::sync::Takeover;
use crate::sync::plan::tests::World;

fn entry(ownership: Ownership, keys: &[&str]) -> KvEntry {
    let data = keys.iter().map(|key| ((*key).to_owned(), SecretString::from("ours"))).collect();
    KvEntry { mount: MountPath::new("kv").unwrap(), path: KvPath::new("a").unwrap(), ownership, data }
}

fn found(version: KvVersion, values: &[(&str, &str)], marks: &[(Option<&str>, &str)]) -> FoundKv {
    let values = values.iter().map(|(key, value)| ((*key).to_owned(), SecretString::from(*value))).collect();
    let marks = marks.iter().map(|(key, name)| (kv_marker_key(*key), format!("c/ns/{name}"))).collect();
    let metadata = (version == KvVersion::V2).then_some(marks);
    FoundKv { version, current: KvRevision { version: 1, created: None }, metadata, data: Data::Values(values) }
}

fn id() -> ObjectId {
    ObjectId::new(ObjectKind::Kv, "kv/a")
}

fn record(keys: &[&str]) -> ManagedObject {
    let keys = keys.iter().map(|key| (*key).to_owned()).collect();
    let (kind, path, mount) = (ObjectKind::Kv, "kv/a".to_owned(), Some("kv".to_owned()));
    ManagedObject { kind, path, state: ObjectState::Created, mount, keys, applied_generation: None }
}

#[test]
fn a_key_that_a_rival_has_opens_no_other_key() {
    let entry = entry(Ownership::Keys, &["a", "b"]);
    let world = World::new().ceded(id(), Some("a"));
    let mode = world.mode(Takeover::Nothing);
    for version in [KvVersion::V1, KvVersion::V2] {
        let marks = [(Some("a"), "rival")];
        let both = found(version, &[("a", "theirs"), ("b", "made by hand")], &marks);
        let (action, ..) = plan(&entry, &both, None, &mode);
        assert!(matches!(&action, Action::Conflict(why) if why.contains("key 'b'")), "{version:?}: {action:?}");
        let (action, ..) = plan(&entry, &found(version, &[("a", "theirs")], &marks), None, &mode);
        assert_eq!(action, Action::Adopt, "{version:?}");
    }
}

#[test]
fn a_foreign_marker_is_a_conflict_whatever_adoption_says() {
    let world = World::new();
    let mode = world.mode(Takeover::Unmarked);
    let unmarked = found(KvVersion::V2, &[("a", "by hand")], &[]);
    assert_eq!(plan(&entry(Ownership::Keys, &["a"]), &unmarked, None, &mode).0, Action::Adopt);
    for mark in [Some("a"), None] {
        for value in ["ours", "theirs"] {
            let foreign = found(KvVersion::V2, &[("a", value)], &[(mark, "other")]);
            for ownership in [Ownership::Keys, Ownership::Secret] {
                let (action, ..) = plan(&entry(ownership, &["a"]), &foreign, None, &mode);
                let named = matches!(&action, Action::Conflict(why) if why.contains("'c/ns/other'"));
                // A key's marker does not keep others from owning the secret, as long as the key stays as it is.
                let equal = ownership == Ownership::Secret && mark.is_some() && value == "ours";
                assert!(named || equal, "{mark:?} {value} {ownership:?}: {action:?}");
            }
        }
    }
}

#[test]
fn a_key_of_ones_own_stays_so_below_the_marker_of_a_former_owner_of_the_whole() {
    let world = World::new();
    let found = found(KvVersion::V2, &[("a", "changed by hand")], &[(Some("a"), "b"), (None, "gone")]);
    let (action, ..) =
        plan(&entry(Ownership::Keys, &["a"]), &found, Some(&record(&["a"])), &world.mode(Takeover::Nothing));
    assert_eq!(action, Action::Update);
}

#[test]
fn a_key_name_from_vault_is_shown_cut() {
    let world = World::new();
    let long = "x".repeat(5000);
    let found = found(KvVersion::V2, &[("a", "ours"), (&long, "1")], &[(None, "b")]);
    let (_, changes, _) =
        plan(&entry(Ownership::Secret, &["a"]), &found, Some(&record(&[])), &world.mode(Takeover::Nothing));
    assert!(changes.iter().all(|change| change.field.chars().count() <= 257), "{changes:?}");
}

#[test]
fn keys_that_are_gone_already_leave_the_record() {
    use crate::sync::{Observation, observe::Found};
    let (world, objects) = (World::new(), [Object::Kv(entry(Ownership::Keys, &["a"]))]);
    let managed = [record(&["a", "b"])];
    let found = found(KvVersion::V2, &[("a", "ours")], &[(Some("a"), "b")]);
    let seen = Observation([(id(), Ok(Found::Kv(found)))].into());
    let plan = crate::sync::plan(&objects, &[], &managed, &seen, &world.mode(Takeover::Nothing));
    assert_eq!(plan.steps[0].action, Action::Keep);
    assert_eq!(plan.managed(&managed, &BTreeSet::new())[0].keys, ["a"]);
}
