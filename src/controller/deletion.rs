//! The end of a binding: what it owns in Vault is deleted, or let go, and only then the finalizer is removed. Nothing is
//! leaked silently, and nothing hangs without the status saying why and how to let go.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};

use super::conditions::Phase;
use super::context::{BindingState, Context};
use super::events::News;
use super::index::BindingRef;
use super::outcome::{Class, Issue, Outcome};
use super::{binding, cluster, pace, status};
use crate::api::binding::DeletionPolicy;
use crate::api::conditions::{ConditionType, Reason};
use crate::api::{FINALIZER, VaultJwtBinding};
use crate::desired::ObjectId;
use crate::sync::{self, Mode, Takeover};

/// Looks at a binding that is being deleted.
pub(crate) async fn look(binding: &VaultJwtBinding, context: &Context, state: &mut BindingState) -> Action {
    if !binding.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return Action::await_change();
    }
    let about = binding.object_ref(&());
    let news = if state.status.managed_objects.is_empty() {
        None
    } else if binding.spec.deletion_policy == DeletionPolicy::Orphan {
        let left = names(state.status.managed_objects.iter().map(|managed| managed.id().to_string()));
        Some(News::normal("Orphaned", "Delete", format!("Left in Vault, as deletionPolicy says: {left}")))
    } else {
        match tokio::time::timeout(binding::limit(binding), clean(binding, context, state)).await {
            Ok(Ok(news)) => Some(news),
            Ok(Err(outcome)) => return held_up(binding, context, state, outcome).await,
            Err(_) => {
                let slow = format!("it took longer than spec.timeout ({})", binding.spec.timeout.0);
                let issues = vec![Issue::new(Class::Unavailable, ConditionType::Synced, Reason::TimedOut, slow)];
                return held_up(binding, context, state, Outcome { issues, unknown: Vec::new() }).await;
            }
        }
    };
    if let Some(news) = news {
        context.events.publish(&about, news).await;
        // Nothing is left to do in Vault should the finalizer have to be removed twice.
        state.status.managed_objects.clear();
    }
    match cluster::remove_finalizer(&context.operator.client, binding).await {
        // A changed object is either gone already or comes by again.
        Ok(()) => Action::await_change(),
        Err(error) => {
            tracing::info!(%error, "Finalizer was not removed, trying again");
            Action::requeue(pace::jitter(Duration::from_secs(2)))
        }
    }
}

async fn held_up(
    binding: &VaultJwtBinding,
    context: &Context,
    state: &mut BindingState,
    mut outcome: Outcome,
) -> Action {
    for issue in &mut outcome.issues {
        issue.message = format!(
            "{} object(s) cannot be deleted from Vault yet: {}; set deletionPolicy: Orphan to let go of them",
            state.status.managed_objects.len(),
            issue.message
        );
    }
    state.failures = state.failures.saturating_add(1);
    let wait = pace::next(&outcome, Duration::from_secs(120), state.failures);
    if outcome.doubts_vault() {
        context.doubt(&binding.spec.connection_ref.name);
    }
    let managed = state.status.managed_objects.clone();
    status::write(binding, context, state, &Phase::Deleting(outcome), Some((Some(managed), Vec::new()))).await;
    Action::requeue(wait)
}

async fn clean(binding: &VaultJwtBinding, context: &Context, state: &mut BindingState) -> Result<News, Outcome> {
    let namespace = binding.namespace().unwrap_or_default();
    let session = binding::session(binding, context, &namespace)
        .map_err(|issue| Outcome { issues: vec![issue], unknown: Vec::new() })?;
    let this = BindingRef::from_obj(binding);
    let name = &binding.spec.connection_ref.name;
    let contest = context
        .vault_connections
        .get(&kube::runtime::reflector::ObjectRef::new(name))
        .map(|connection| context.contest(&this, &connection))
        .unwrap_or_default();
    let owner = binding::owner(context, binding);
    let mode = Mode {
        correct: true,
        generation: binding.metadata.generation.unwrap_or_default(),
        settled: true,
        takeover: Takeover::Nothing,
        owner: &owner,
        mount: &binding.spec.auth.mount,
        refused: &BTreeSet::new(),
        contested: &BTreeSet::new(),
        taken: &contest.taken,
    };
    let managed = state.status.managed_objects.clone();
    let leftovers: Vec<_> = managed.iter().collect();
    let seen = sync::observe(&session.vault, &session.mounts, &owner, &[], &leftovers, &mut state.memory).await;
    let plan = sync::plan(&[], &leftovers, &managed, &seen, &mode);
    let apply = sync::apply::Context {
        vault: &session.vault,
        mounts: &session.mounts,
        owner: &owner,
        config_patience: Duration::ZERO,
        progress: &|_| {},
    };
    let report = sync::apply(&apply, &plan, &managed, &seen, &mut state.memory).await;
    if !report.failures.is_empty() {
        state.status.managed_objects = report.managed;
        return Err(Outcome { issues: report.failures.iter().map(Issue::of_failure).collect(), unknown: Vec::new() });
    }
    let mut note = format!("Deleted from Vault: {}", names(report.deleted.iter().map(ObjectId::to_string)));
    for (id, why) in &report.released {
        let _ = write!(note, ". Left: {id}, because {why}");
    }
    Ok(News::normal("Deleted", "Delete", note))
}

fn names(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}
