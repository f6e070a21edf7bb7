//! A synchronous, in-memory index of all bindings: who refers to what, and who claims which Vault object. Fed by the
//! watches, asked by the reconcilers; it knows no client and no clock.

use std::collections::{BTreeSet, HashMap, HashSet};

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use crate::api::references::CaKind;
use crate::api::{REQUESTED_AT, VaultJwtBinding};
use crate::desired::{self, Claim, ObjectId};

/// Which binding.
pub(crate) type BindingRef = ObjectRef<VaultJwtBinding>;

/// What a referenced object is found by.
type Referent = (CaKind, String, String);

/// The order in which claims are honoured: the older binding first, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    created: Option<k8s_openapi::jiff::Timestamp>,
    namespace: String,
    name: String,
}

struct Entry {
    rank: Rank,
    connection: String,
    claims: Vec<Claim>,
    referents: Vec<Referent>,
    /// Objects that the last pass refused, as invalid or not granted: they claim nothing.
    refused: BTreeSet<ObjectId>,
    seen: Seen,
}

/// What of a binding, besides its status, makes a pass worthwhile when it changes.
#[derive(Clone, PartialEq, Eq)]
struct Seen {
    uid: Option<String>,
    generation: Option<i64>,
    requested_at: Option<String>,
    deleting: bool,
}

/// The index.
#[derive(Default)]
pub(crate) struct Index {
    entries: HashMap<BindingRef, Entry>,
    by_claim: HashMap<ObjectId, Vec<BindingRef>>,
    by_referent: HashMap<Referent, HashSet<BindingRef>>,
    by_connection: HashMap<String, HashSet<BindingRef>>,
}

/// How the claims of one binding stand against those of others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contest {
    /// Objects that younger bindings claim too.
    pub(crate) contested: BTreeSet<ObjectId>,
    /// Objects that an older binding claims too.
    pub(crate) lost: BTreeSet<ObjectId>,
}

impl Index {
    /// Takes in a binding as it is now; gives the bindings that have to be looked at for it.
    pub(crate) fn apply(&mut self, binding: &VaultJwtBinding) -> Vec<BindingRef> {
        let this = BindingRef::from_obj(binding);
        let seen = Seen {
            uid: binding.uid(),
            generation: binding.metadata.generation,
            requested_at: binding.annotations().get(REQUESTED_AT).cloned(),
            deleting: binding.metadata.deletion_timestamp.is_some(),
        };
        match self.entries.get_mut(&this) {
            Some(entry) if entry.seen == seen => return Vec::new(),
            Some(entry) if entry.seen.generation == seen.generation && entry.seen.uid == seen.uid => {
                entry.seen = seen;
                return vec![this];
            }
            _ => {}
        }
        let mut touched = self.remove(&this);
        let namespace = binding.namespace().unwrap_or_default();
        let entry = Entry {
            rank: Rank {
                created: binding.metadata.creation_timestamp.as_ref().map(|time| time.0),
                namespace: namespace.clone(),
                name: binding.name_any(),
            },
            connection: binding.spec.connection_ref.name.clone(),
            claims: desired::claims(&binding.spec),
            referents: desired::references(&binding.spec)
                .into_iter()
                .map(|reference| (reference.kind, namespace.clone(), reference.name))
                .collect(),
            refused: BTreeSet::new(),
            seen,
        };
        for claim in &entry.claims {
            let claimants = self.by_claim.entry(claim.id.clone()).or_default();
            touched.extend(claimants.iter().cloned());
            if !claimants.contains(&this) {
                claimants.push(this.clone());
            }
        }
        for referent in &entry.referents {
            self.by_referent.entry(referent.clone()).or_default().insert(this.clone());
        }
        self.by_connection.entry(entry.connection.clone()).or_default().insert(this.clone());
        self.entries.insert(this.clone(), entry);
        touched.push(this);
        touched.sort_by_key(ToString::to_string);
        touched.dedup();
        touched
    }

    /// Forgets a binding; gives those that claim something it claimed.
    pub(crate) fn remove(&mut self, this: &BindingRef) -> Vec<BindingRef> {
        let Some(entry) = self.entries.remove(this) else { return Vec::new() };
        let mut touched = Vec::new();
        for claim in &entry.claims {
            if let Some(claimants) = self.by_claim.get_mut(&claim.id) {
                claimants.retain(|other| other != this);
                touched.extend(claimants.iter().cloned());
                if claimants.is_empty() {
                    self.by_claim.remove(&claim.id);
                }
            }
        }
        for referent in &entry.referents {
            remove_from(&mut self.by_referent, referent, this);
        }
        remove_from(&mut self.by_connection, &entry.connection, this);
        touched
    }

    /// Forgets every binding that is not among `present`: deletions may be missed while a watch is down.
    pub(crate) fn retain(&mut self, present: &HashSet<BindingRef>) -> Vec<BindingRef> {
        let gone: Vec<BindingRef> = self.entries.keys().filter(|known| !present.contains(*known)).cloned().collect();
        gone.iter().flat_map(|this| self.remove(this)).collect()
    }

    /// The bindings that refer to a Secret or `ConfigMap`.
    pub(crate) fn referring_to(&self, kind: CaKind, namespace: &str, name: &str) -> Vec<BindingRef> {
        let referent = (kind, namespace.to_owned(), name.to_owned());
        self.by_referent.get(&referent).map(|set| set.iter().cloned().collect()).unwrap_or_default()
    }

    /// The bindings that use a connection.
    pub(crate) fn using(&self, connection: &str) -> Vec<BindingRef> {
        self.by_connection.get(connection).map(|set| set.iter().cloned().collect()).unwrap_or_default()
    }

    /// All bindings of a namespace.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Vec<BindingRef> {
        self.entries.iter().filter(|(_, entry)| entry.rank.namespace == namespace).map(|(id, _)| id.clone()).collect()
    }

    /// Records what a pass refused; gives those that claim something of it, when that changed.
    pub(crate) fn refuse(&mut self, this: &BindingRef, refused: BTreeSet<ObjectId>) -> Vec<BindingRef> {
        let Some(entry) = self.entries.get_mut(this) else { return Vec::new() };
        let changed: Vec<ObjectId> = entry.refused.symmetric_difference(&refused).cloned().collect();
        entry.refused = refused;
        let rivals = changed.iter().filter_map(|id| self.by_claim.get(id)).flatten();
        rivals.filter(|other| *other != this).cloned().collect()
    }

    /// How the claims of a binding stand. `same_vault` says whether another connection leads to the same Vault.
    pub(crate) fn contest(&self, this: &BindingRef, same_vault: impl Fn(&str) -> bool) -> Contest {
        let mut contest = Contest::default();
        let Some(entry) = self.entries.get(this) else { return contest };
        for claim in &entry.claims {
            let claimants = self.by_claim.get(&claim.id).map(Vec::as_slice).unwrap_or_default();
            for other in claimants.iter().filter(|other| *other != this) {
                let Some(rival) = self.entries.get(other) else { continue };
                let overlaps = rival.claims.iter().any(|theirs| theirs.conflicts_with(claim));
                if !overlaps || rival.refused.contains(&claim.id) || !same_vault(&rival.connection) {
                    continue;
                }
                let side = if rival.rank < entry.rank { &mut contest.lost } else { &mut contest.contested };
                side.insert(claim.id.clone());
            }
        }
        contest.contested.retain(|id| !contest.lost.contains(id));
        contest
    }
}

fn remove_from<K: std::hash::Hash + Eq>(map: &mut HashMap<K, HashSet<BindingRef>>, key: &K, this: &BindingRef) {
    if let Some(set) = map.get_mut(key) {
        set.remove(this);
        if set.is_empty() {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn binding(name: &str, created: &str, generation: i64, roles: &[&str]) -> VaultJwtBinding {
        let roles: Vec<_> =
            roles.iter().map(|role| json!({"name": role, "boundAudiences": ["a"], "userClaim": "sub"})).collect();
        serde_json::from_value(json!({
            "apiVersion": "vault.badal.io/v1alpha1", "kind": "VaultJwtBinding",
            "metadata": {
                "name": name, "namespace": "ns", "uid": name, "creationTimestamp": created, "generation": generation,
            },
            "spec": {"connectionRef": {"name": "main"}, "auth": {"mount": "jwt"}, "roles": roles},
        }))
        .unwrap()
    }

    fn named(refs: Vec<BindingRef>) -> BTreeSet<String> {
        refs.into_iter().map(|id| id.name).collect()
    }

    fn lost(index: &Index, binding: &VaultJwtBinding) -> Vec<String> {
        index.contest(&BindingRef::from_obj(binding), |_| true).lost.into_iter().map(|id| id.path).collect()
    }

    #[test]
    fn the_older_binding_wins_and_the_other_takes_over_when_it_goes() {
        let mut index = Index::default();
        let young = binding("young", "2026-01-02T00:00:00Z", 1, &["r", "own"]);
        let old = binding("old", "2026-01-01T00:00:00Z", 1, &["r"]);
        assert_eq!(named(index.apply(&young)), ["young".into()].into());
        assert_eq!(named(index.apply(&old)), ["old".into(), "young".into()].into());
        assert_eq!(lost(&index, &young), ["jwt/r"]);
        assert!(lost(&index, &old).is_empty());
        assert_eq!(named(index.remove(&BindingRef::from_obj(&old))), ["young".into()].into());
        assert!(lost(&index, &young).is_empty());
    }

    #[test]
    fn what_a_binding_may_not_have_it_does_not_claim() {
        let mut index = Index::default();
        let young = binding("young", "2026-01-02T00:00:00Z", 1, &["r"]);
        let old = binding("old", "2026-01-01T00:00:00Z", 1, &["r"]);
        index.apply(&young);
        index.apply(&old);
        let refused = BTreeSet::from([ObjectId { kind: crate::api::status::ObjectKind::Role, path: "jwt/r".into() }]);
        assert_eq!(named(index.refuse(&BindingRef::from_obj(&old), refused)), ["young".into()].into());
        assert!(lost(&index, &young).is_empty());
    }

    #[test]
    fn a_status_alone_asks_for_no_pass() {
        let mut index = Index::default();
        let mut seen = binding("b", "2026-01-01T00:00:00Z", 1, &["r"]);
        assert_eq!(index.apply(&seen).len(), 1);
        seen.status = Some(crate::api::status::BindingStatus::default());
        assert!(index.apply(&seen).is_empty());
        seen.annotations_mut().insert(REQUESTED_AT.to_owned(), "now".to_owned());
        assert_eq!(index.apply(&seen).len(), 1);
    }
}
