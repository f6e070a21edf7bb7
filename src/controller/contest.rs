//! Of several bindings that claim one object, who has it: the older one, unless no grant allows it. Asked of the present
//! specs and records each time, so that it does not depend on which pass came first.

use std::collections::{BTreeSet, HashMap};

use super::index::{BindingRef, Entry, Index};
use crate::desired::{Claim, ObjectId};
use crate::sync::{Ceded, Owner};

/// How the claims of one binding stand against those of others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contest {
    /// What is this binding's, although another one has it by its record, or had it until just now.
    pub(crate) contested: BTreeSet<Ceded>,
    /// What an older binding claims too.
    pub(crate) lost: BTreeSet<Claim>,
    /// What this binding owns by its record, and another one owns now.
    pub(crate) taken: BTreeSet<Claim>,
}

/// What counts of a binding's claims.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stance {
    /// Objects that no grant allows, or that are invalid and were never made: they are not claimed.
    pub(crate) refused: BTreeSet<ObjectId>,
    /// It is suspended, and takes nothing over.
    pub(crate) suspended: bool,
    /// It is being deleted, and leaves all to others.
    pub(crate) deleting: bool,
}

impl Index {
    /// How the claims of a binding stand. `cluster` is what markers call this one, `same_vault` says whether a connection leads to the same Vault as its own,
    /// and `stance` what counts of a binding's claims.
    pub(crate) fn contest(
        &self,
        this: &BindingRef,
        cluster: &str,
        same_vault: impl Fn(&str) -> bool,
        stance: impl Fn(&BindingRef) -> Option<Stance>,
    ) -> Contest {
        let mut contest = Contest::default();
        let Some(entry) = self.entries.get(this) else { return contest };
        let ours = stance(this).unwrap_or_default();
        let mut stances: HashMap<&BindingRef, Option<Stance>> = HashMap::new();
        let mut of = |other: &'_ BindingRef| -> Option<(&Entry, Stance)> {
            let (other, rival) = self.entries.get_key_value(other)?;
            let look = || stance(other).filter(|_| same_vault(&rival.connection));
            Some((rival, stances.entry(other).or_insert_with(look).clone()?))
        };
        let ceded = |claim: &Claim, held: &Claim, by: &BindingRef| Ceded {
            claim: if held.key.is_some() { held.clone() } else { claim.clone() },
            by: Owner {
                cluster: cluster.to_owned(),
                namespace: by.namespace.clone().unwrap_or_default(),
                name: by.name.clone(),
            },
        };
        for claim in entry.claims.iter().filter(|claim| !ours.refused.contains(&claim.id)) {
            let claimants = self.by_claim.get(&claim.id).into_iter().flatten();
            let holders = self.by_leftover.get(&claim.id).into_iter().flatten();
            for other in claimants.chain(holders).filter(|other| *other != this) {
                let Some((rival, theirs)) = of(other) else { continue };
                let claims = rival.claims.iter().any(|theirs| theirs.conflicts_with(claim));
                if claims && !theirs.refused.contains(&claim.id) && rival.rank < entry.rank {
                    contest.lost.insert(claim.clone());
                } else {
                    // To claim it is not to have it: what exists may be nobody's, and then adoption decides.
                    let held = rival.held().filter(|held| held.conflicts_with(claim));
                    contest.contested.extend(held.map(|held| ceded(claim, held, other)));
                }
            }
            let released = self.released.get(&claim.id).into_iter().flatten();
            let released = released.filter(|gone| gone.claim.conflicts_with(claim) && same_vault(&gone.connection));
            contest.contested.extend(released.map(|gone| ceded(claim, &gone.claim, &gone.by)));
        }
        for held in entry.held() {
            let claimed = |claim: &Claim| claim.conflicts_with(held) && !ours.refused.contains(&claim.id);
            let own = !ours.deleting && entry.claims.iter().any(claimed);
            for other in self.by_claim.get(&held.id).into_iter().flatten().filter(|other| *other != this) {
                let Some((rival, theirs)) = of(other) else { continue };
                let theirs_now = if own { rival.rank < entry.rank } else { !theirs.suspended && !theirs.deleting };
                let claims = rival.claims.iter().filter(|claim| claim.conflicts_with(held));
                let claims = claims.filter(|claim| theirs_now && !theirs.refused.contains(&claim.id));
                contest.taken.extend(claims.cloned());
            }
        }
        let lost = &contest.lost;
        contest.contested.retain(|ceded| !lost.iter().any(|lost| lost.conflicts_with(&ceded.claim)));
        contest
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::VaultJwtBinding;
    use crate::api::status::ObjectKind;

    /// A binding with a role `r` and these keys of one secret, and what its record says it has.
    fn binding(name: &str, created: &str, keys: &[&str], managed: &Value) -> VaultJwtBinding {
        let data: Vec<Value> =
            keys.iter().map(|key| json!({"key": key, "secretKeyRef": {"name": "s", "key": "k"}})).collect();
        serde_json::from_value(json!({
            "apiVersion": "vault.badal.io/v1alpha1", "kind": "VaultJwtBinding",
            "metadata": {"name": name, "namespace": "ns", "uid": name, "creationTimestamp": created, "generation": 1},
            "spec": {
                "connectionRef": {"name": "main"}, "auth": {"mount": "jwt"},
                "roles": [{"name": "r", "boundAudiences": ["a"], "userClaim": "sub"}],
                "kv": [{"mount": "kv", "path": "a", "data": data}],
            },
            "status": {"managedObjects": managed},
        }))
        .unwrap()
    }

    fn has(role: bool, keys: &[&str]) -> Value {
        let mut all = Vec::new();
        if role {
            all.push(json!({"kind": "Role", "path": "jwt/r", "state": "Created"}));
        }
        if !keys.is_empty() {
            all.push(json!({"kind": "Kv", "path": "kv/a", "mount": "kv", "keys": keys, "state": "Created"}));
        }
        all.into()
    }

    fn ceded(index: &Index, binding: &VaultJwtBinding) -> Vec<(ObjectKind, Option<String>, String)> {
        let contest = index.contest(&BindingRef::from_obj(binding), "c", |_| true, |_| Some(Stance::default()));
        contest.contested.into_iter().map(|c| (c.claim.id.kind, c.claim.key, c.by.to_string())).collect()
    }

    #[test]
    fn a_second_claimant_that_has_nothing_cedes_nothing() {
        let mut index = Index::default();
        let old = binding("old", "2026-01-01T00:00:00Z", &["a", "b"], &json!([]));
        index.apply(&old);
        index.apply(&binding("young", "2026-01-02T00:00:00Z", &["a", "b"], &json!([])));
        assert_eq!(ceded(&index, &old), []);
        // It gets one key and the role: these, and no other.
        index.apply(&binding("young", "2026-01-02T00:00:00Z", &["a", "b"], &has(true, &["a"])));
        let young = || "c/ns/young".to_owned();
        let expected = [(ObjectKind::Kv, Some("a".to_owned()), young()), (ObjectKind::Role, None, young())];
        assert_eq!(ceded(&index, &old), expected);
        // Let go of, they are still there for the one that waits.
        index.apply(&binding("young", "2026-01-02T00:00:00Z", &["a", "b"], &json!([])));
        assert_eq!(ceded(&index, &old), expected);
        // Once it has them itself, nothing is left open.
        index.apply(&binding("old", "2026-01-01T00:00:00Z", &["a", "b"], &has(true, &["a"])));
        assert_eq!(ceded(&index, &old), []);
    }

    #[test]
    fn a_record_of_some_keys_is_no_record_of_the_whole_that_is_claimed() {
        let mut index = Index::default();
        let old = binding("old", "2026-01-01T00:00:00Z", &["a", "b"], &json!([]));
        index.apply(&old);
        let mut young = binding("young", "2026-01-02T00:00:00Z", &["a"], &has(false, &["a"]));
        young.spec.kv[0].ownership = crate::api::binding::Ownership::Secret;
        index.apply(&young);
        assert_eq!(ceded(&index, &old), [(ObjectKind::Kv, Some("a".to_owned()), "c/ns/young".to_owned())]);
    }
}
