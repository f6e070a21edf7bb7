//! Of several bindings that claim one object, who has it: the older one, unless no grant allows it. Asked of the present
//! specs and records each time, so that it does not depend on which pass came first.

use std::collections::{BTreeSet, HashMap};

use super::index::{BindingRef, Entry, Index};
use crate::desired::{Claim, ObjectId};

/// How the claims of one binding stand against those of others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contest {
    /// Objects that are this binding's, although another one claims them too or has not let go of them yet.
    pub(crate) contested: BTreeSet<ObjectId>,
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
    /// How the claims of a binding stand. `same_vault` says whether a connection leads to the same Vault as its own,
    /// and `stance` what counts of a binding's claims.
    pub(crate) fn contest(
        &self,
        this: &BindingRef,
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
        for claim in entry.claims.iter().filter(|claim| !ours.refused.contains(&claim.id)) {
            for other in self.by_claim.get(&claim.id).into_iter().flatten().filter(|other| *other != this) {
                let Some((rival, theirs)) = of(other) else { continue };
                if !rival.claims.iter().any(|theirs| theirs.conflicts_with(claim)) {
                    continue;
                }
                if theirs.refused.contains(&claim.id) {
                    // It will let go, or has nothing.
                    contest.contested.extend(rival.holds(claim).then(|| claim.id.clone()));
                } else if rival.rank < entry.rank {
                    contest.lost.insert(claim.clone());
                } else {
                    contest.contested.insert(claim.id.clone());
                }
            }
            for other in self.by_leftover.get(&claim.id).into_iter().flatten() {
                let left = |rival: &Entry| rival.leftovers.iter().any(|left| left.conflicts_with(claim));
                if other != this && of(other).is_some_and(|(rival, _)| left(rival)) {
                    contest.contested.insert(claim.id.clone());
                }
            }
            if self.released.get(&claim.id).is_some_and(|connection| same_vault(connection)) {
                contest.contested.insert(claim.id.clone());
            }
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
        let lost: BTreeSet<&ObjectId> = contest.lost.iter().map(|claim| &claim.id).collect();
        contest.contested.retain(|id| !lost.contains(id));
        contest
    }
}
