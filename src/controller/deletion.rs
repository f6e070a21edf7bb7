//! The end of a binding: what it owns in Vault is deleted, or let go, and only then the finalizer is removed. Nothing is
//! leaked silently, and nothing hangs without the status saying why and how to let go.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};

use super::conditions::Phase;
use super::connections::Session;
use super::context::{BindingState, Context};
use super::events::News;
use super::index::BindingRef;
use super::outcome::{Class, Issue, Outcome};
use super::{binding, cluster, news, pace, status};
use crate::api::binding::DeletionPolicy;
use crate::api::conditions::{ConditionType, Reason};
use crate::api::status::{ManagedObject, ObjectKind};
use crate::api::{FINALIZER, VaultJwtBinding, VaultJwtBindingSpec};
use crate::desired::{self, Granted, ObjectId, ProblemKind, References};
use crate::sync::{self, Memory, Mode, Takeover};

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
    status::write(binding, context, state, &Phase::Deleting(outcome), Some((managed, Vec::new()))).await;
    Action::requeue(wait)
}

async fn clean(binding: &VaultJwtBinding, context: &Context, state: &mut BindingState) -> Result<News, Outcome> {
    let namespace = binding.namespace().unwrap_or_default();
    let session = binding::session(binding, context, &namespace)
        .map_err(|issue| Outcome { issues: vec![issue], unknown: Vec::new() })?;
    let managed = state.status.managed_objects.clone();
    let report = delete(binding, context, &mut state.memory, &session, &managed, managed.iter().collect()).await;
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

/// Deletes from Vault what of `managed` is left over; what another binding owns now is let go.
async fn delete(
    binding: &VaultJwtBinding,
    context: &Context,
    memory: &mut Memory,
    session: &Session,
    managed: &[ManagedObject],
    leftovers: Vec<&ManagedObject>,
) -> sync::Report {
    let connection = context.vault_connections.get(&ObjectRef::new(&binding.spec.connection_ref.name));
    let this = BindingRef::from_obj(binding);
    let contest = connection.map(|connection| context.contest(&this, &connection)).unwrap_or_default();
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
    let seen = sync::observe(&session.vault, &session.mounts, &owner, &[], &leftovers, memory).await;
    let plan = sync::plan(&[], &leftovers, managed, &seen, &mode);
    let apply = sync::apply::Context {
        vault: &session.vault,
        mounts: &session.mounts,
        owner: &owner,
        config_patience: Duration::ZERO,
        progress: &|_| {},
    };
    sync::apply(&apply, &plan, managed, &seen, memory).await
}

/// What a binding owns by its record and no grant allows any more: it is taken away also while the binding is
/// suspended, and before anything that its spec could make last. Mounts and configs stay in any case.
pub(crate) fn ungranted(binding: &VaultJwtBinding, context: &Context, managed: &[ManagedObject]) -> BTreeSet<ObjectId> {
    let connection = context.vault_connections.get(&ObjectRef::new(&binding.spec.connection_ref.name));
    let Some(connection) = connection.filter(|_| !managed.is_empty()) else { return BTreeSet::new() };
    let namespace = binding.namespace().unwrap_or_default();
    let labels = context.labels_of(&namespace);
    let granted = Granted::select(&connection.spec.grants, &namespace, &labels);
    not_granted(&binding.spec, managed, &granted)
}

fn not_granted(spec: &VaultJwtBindingSpec, managed: &[ManagedObject], granted: &Granted<'_>) -> BTreeSet<ObjectId> {
    let problems = desired::desired(spec, &References::new(), granted).problems;
    let denied = |id: &ObjectId| {
        problems.iter().any(|problem| problem.kind == ProblemKind::NotGranted && problem.object.as_ref() == Some(id))
    };
    let deletable = |id: &ObjectId| matches!(id.kind, ObjectKind::Role | ObjectKind::Policy | ObjectKind::Kv);
    // What the spec no longer names has only its name to be judged by.
    let all = managed.iter().map(ManagedObject::id);
    all.filter(|id| deletable(id) && (denied(id) || !granted.allows_name(id))).collect()
}

/// How long it may take to take away what is no longer granted; the spec has no say in it.
const WITHDRAWAL: Duration = Duration::from_secs(30);

/// Deletes what is no longer granted, and records that. What stands in the way comes back.
pub(crate) async fn withdraw(
    binding: &VaultJwtBinding,
    context: &Context,
    state: &mut BindingState,
    ungranted: &BTreeSet<ObjectId>,
) -> Result<(), Outcome> {
    let of = |issue| Outcome { issues: vec![issue], unknown: Vec::new() };
    let session = binding::session(binding, context, &binding.namespace().unwrap_or_default()).map_err(of)?;
    let managed = state.status.managed_objects.clone();
    let leftovers = managed.iter().filter(|managed| ungranted.contains(&managed.id())).collect();
    let work = delete(binding, context, &mut state.memory, &session, &managed, leftovers);
    let report = tokio::time::timeout(WITHDRAWAL, work).await.map_err(|_| {
        let slow = format!("it took longer than {} s", WITHDRAWAL.as_secs());
        of(Issue::new(Class::Unavailable, ConditionType::Synced, Reason::TimedOut, slow))
    })?;
    for news in news::of_report(&report, &BTreeSet::new(), true) {
        context.events.publish(&binding.object_ref(&()), news).await;
    }
    if report.managed != managed {
        // Should it not be recorded, the next pass finds that they are gone.
        if binding.spec.suspend {
            let known = (report.managed, state.status.drift.clone());
            status::write(binding, context, state, &Phase::Suspended(Outcome::default()), Some(known)).await;
        } else {
            status::announce(binding, context, state, report.managed).await;
        }
    }
    let issues: Vec<Issue> = report.failures.iter().map(Issue::of_failure).collect();
    if issues.is_empty() { Ok(()) } else { Err(Outcome { issues, unknown: Vec::new() }) }
}

fn names(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::api::connection::Grant;

    #[test]
    fn what_no_grant_allows_is_found_by_the_spec_or_by_its_name() {
        let grants: Vec<Grant> = serde_json::from_value(json!([{
            "namespaces": {"names": ["ns"]}, "authMounts": [{"path": "jwt"}], "roles": ["a-*"], "policies": ["a-*"],
            "attachablePolicies": ["a-*"], "kv": [{"mount": "kv", "paths": ["app/*"]}],
        }]))
        .unwrap();
        let role = |name: &str, policy: &str| json!({"name": name, "boundAudiences": ["x"], "userClaim": "sub", "tokenPolicies": [policy]});
        let spec: VaultJwtBindingSpec = serde_json::from_value(json!({
            "connectionRef": {"name": "main"}, "auth": {"mount": "jwt"},
            "roles": [role("a-good", "a-1"), role("a-attaches", "root-of-all")],
        }))
        .unwrap();
        let managed: Vec<ManagedObject> = [
            ("JwtConfig", "jwt"),
            ("Role", "jwt/a-good"),
            ("Role", "jwt/a-attaches"),
            ("Role", "jwt/a-removed"),
            ("Role", "jwt/b-removed"),
            ("Role", "other/a-removed"),
            ("Policy", "a-removed"),
            ("Policy", "b-removed"),
            ("Kv", "kv/app/x"),
            ("Kv", "kv/application"),
        ]
        .map(|(kind, path)| serde_json::from_value(json!({"kind": kind, "path": path, "state": "Created"})).unwrap())
        .into();
        let found = |namespace: &str| -> Vec<String> {
            let granted = Granted::select(&grants, namespace, &BTreeMap::new());
            not_granted(&spec, &managed, &granted).into_iter().map(|id| id.path).collect()
        };
        assert_eq!(found("ns"), ["b-removed", "kv/application", "jwt/a-attaches", "jwt/b-removed", "other/a-removed"]);
        assert_eq!(found("other").len(), managed.len() - 1, "all but the config, which stays");
    }
}
