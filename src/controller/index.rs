//! A synchronous, in-memory index of all bindings: who refers to what, and who claims which Vault object. Fed by the
//! watches, asked by the reconcilers; it knows no client and no clock.

use std::collections::{HashMap, HashSet};

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use crate::api::references::CaKind;
use crate::api::status::ManagedObject;
use crate::api::{REQUESTED_AT, VaultJwtBinding};
use crate::desired::{self, Claim, ObjectId};

/// Which binding.
pub(crate) type BindingRef = ObjectRef<VaultJwtBinding>;

/// What a referenced object is found by.
type Referent = (CaKind, String, String);

/// The order in which claims are honoured: the older binding first, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    created: Option<k8s_openapi::jiff::Timestamp>,
    namespace: String,
    name: String,
}

pub(super) struct Entry {
    pub(super) rank: Rank,
    pub(super) connection: String,
    pub(super) claims: Vec<Claim>,
    /// Which of the claims it owns by its record, as they are.
    holds: Vec<bool>,
    /// What else it owns by its record, e.g. what it no longer claims.
    pub(super) leftovers: Vec<Claim>,
    referents: Vec<Referent>,
    seen: Seen,
}

impl Entry {
    /// What it owns by its record.
    pub(super) fn held(&self) -> impl Iterator<Item = &Claim> {
        let claimed = self.claims.iter().zip(&self.holds).filter_map(|(claim, holds)| holds.then_some(claim));
        claimed.chain(&self.leftovers)
    }

    pub(super) fn holds(&self, claim: &Claim) -> bool {
        self.held().any(|held| held.conflicts_with(claim))
    }
}

/// What a binding had by its record until it let go.
pub(super) struct Released {
    pub(super) claim: Claim,
    pub(super) by: BindingRef,
    pub(super) connection: String,
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
    pub(super) entries: HashMap<BindingRef, Entry>,
    pub(super) by_claim: HashMap<ObjectId, Vec<BindingRef>>,
    pub(super) by_leftover: HashMap<ObjectId, HashSet<BindingRef>>,
    /// What bindings let go of while another one waited for it.
    pub(super) released: HashMap<ObjectId, Vec<Released>>,
    by_referent: HashMap<Referent, HashSet<BindingRef>>,
    by_connection: HashMap<String, HashSet<BindingRef>>,
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
        let managed = binding.status.as_ref().map(|status| status.managed_objects.as_slice()).unwrap_or_default();
        let known = self.entries.get(&this).map(|entry| &entry.seen);
        if known.is_some_and(|known| known.generation == seen.generation && known.uid == seen.uid) {
            return self.update(this, seen, managed);
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
            holds: Vec::new(),
            leftovers: Vec::new(),
            seen: seen.clone(),
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
        self.update(this.clone(), seen, managed);
        touched.push(this);
        touched.sort_by_key(ToString::to_string);
        touched.dedup();
        touched
    }

    /// Takes in what may change of a binding without its spec.
    fn update(&mut self, this: BindingRef, seen: Seen, managed: &[ManagedObject]) -> Vec<BindingRef> {
        let Some(entry) = self.entries.get_mut(&this) else { return Vec::new() };
        let mut touched = Vec::new();
        let held = held(managed);
        let holds: Vec<bool> = entry.claims.iter().map(|claim| held.contains(claim)).collect();
        let leftovers: Vec<Claim> = held.into_iter().filter(|held| !entry.claims.contains(held)).collect();
        if entry.holds != holds || entry.leftovers != leftovers {
            let before: Vec<Claim> = entry.held().cloned().collect();
            for claim in &entry.leftovers {
                remove_from(&mut self.by_leftover, &claim.id, &this);
            }
            for claim in &leftovers {
                self.by_leftover.entry(claim.id.clone()).or_default().insert(this.clone());
            }
            (entry.holds, entry.leftovers) = (holds, leftovers);
            let connection = entry.connection.clone();
            let now: Vec<Claim> = entry.held().cloned().collect();
            for held in &now {
                self.forget_released(|gone| gone.conflicts_with(held), &held.id);
            }
            for claim in before.iter().filter(|claim| !now.contains(claim)) {
                touched.extend(self.release(&this, claim, &connection));
            }
            let gained = now.iter().filter(|claim| !before.contains(claim));
            let rivals = gained.filter_map(|claim| self.by_claim.get(&claim.id)).flatten();
            touched.extend(rivals.filter(|rival| **rival != this).cloned());
        }
        let Some(entry) = self.entries.get_mut(&this) else { return touched };
        if entry.seen != seen {
            entry.seen = seen;
            touched.push(this);
        }
        touched
    }

    /// Notes that a binding no longer owns something; gives those that wait for it.
    fn release(&mut self, this: &BindingRef, claim: &Claim, connection: &str) -> Vec<BindingRef> {
        let claimants = self.by_claim.get(&claim.id).into_iter().flatten();
        let waiting: Vec<BindingRef> = claimants.filter(|other| *other != this).cloned().collect();
        let owned = waiting.iter().filter_map(|id| self.entries.get(id)).any(|rival| rival.holds(claim));
        if !waiting.is_empty() && !owned {
            let gone = Released { claim: claim.clone(), by: this.clone(), connection: connection.to_owned() };
            let released = self.released.entry(claim.id.clone()).or_default();
            released.retain(|before| before.claim != gone.claim || before.connection != gone.connection);
            released.push(gone);
        }
        waiting
    }

    fn forget_released(&mut self, is: impl Fn(&Claim) -> bool, id: &ObjectId) {
        if let Some(released) = self.released.get_mut(id) {
            released.retain(|gone| !is(&gone.claim));
            if released.is_empty() {
                self.released.remove(id);
            }
        }
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
                    self.released.remove(&claim.id);
                }
            }
        }
        for claim in &entry.leftovers {
            remove_from(&mut self.by_leftover, &claim.id, this);
        }
        for claim in entry.held() {
            touched.extend(self.release(this, claim, &entry.connection));
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

    /// Bindings and those that claim something that they claim: what becomes of the ones concerns the others.
    pub(crate) fn with_rivals(&self, bindings: Vec<BindingRef>) -> HashSet<BindingRef> {
        let claims = bindings.iter().filter_map(|id| self.entries.get(id)).flat_map(|entry| &entry.claims);
        let rivals: Vec<BindingRef> =
            claims.filter_map(|claim| self.by_claim.get(&claim.id)).flatten().cloned().collect();
        bindings.into_iter().chain(rivals).collect()
    }
}

/// What a record says is owned.
fn held(managed: &[ManagedObject]) -> Vec<Claim> {
    let claims = managed.iter().flat_map(|managed| {
        let whole = Claim { id: managed.id(), key: None };
        let keys: Vec<Claim> =
            managed.keys.iter().map(|key| Claim { key: Some(key.clone()), ..whole.clone() }).collect();
        if keys.is_empty() { vec![whole] } else { keys }
    });
    claims.collect()
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
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::controller::contest::Stance;

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
        let contest = index.contest(&BindingRef::from_obj(binding), "c", |_| true, |_| Some(Stance::default()));
        contest.lost.into_iter().map(|claim| claim.id.path).collect()
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
        let stance = |other: &BindingRef| {
            let refused = if other.name == "old" { refused.clone() } else { BTreeSet::new() };
            Some(Stance { refused, ..Stance::default() })
        };
        assert!(index.contest(&BindingRef::from_obj(&young), "c", |_| true, stance).lost.is_empty());
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
