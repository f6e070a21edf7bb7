//! One pass over a `VaultJwtBinding`: ask `desired` what should be, make it so through `sync`, write what happened.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use tokio::sync::OwnedSemaphorePermit;

use super::conditions::{self, Phase};
use super::connections::Session;
use super::context::{BindingState, Context};
use super::events::News;
use super::index::BindingRef;
use super::outcome::{Class, Issue, Outcome};
use super::{cluster, deletion, news, pace, status};
use crate::api::binding::{DeletionPolicy, DriftMode};
use crate::api::conditions::{Condition, ConditionType, Reason};
use crate::api::status::{Drift, ManagedObject, ObjectKind};
use crate::api::{FINALIZER, VaultJwtBinding};
use crate::desired::{self, Granted, Object, ObjectId, ProblemKind};
use crate::sync::apply::Cause;
use crate::sync::{self, Mode, Owner};
use crate::vault::VaultError;

/// What a pass came to.
#[derive(Default)]
pub(crate) struct Pass {
    pub(crate) outcome: Outcome,
    /// What is owned now; none when the pass did not get to know.
    pub(crate) managed: Option<Vec<ManagedObject>>,
    pub(crate) drift: Vec<Drift>,
    pub(crate) news: Vec<News>,
    /// The session was closed under it because the connection has changed, or other bindings have: it says nothing.
    pub(crate) cut: bool,
    /// Nothing failed but writes to KV secrets that another binding, or somebody else, wrote at the same moment.
    pub(crate) collided: bool,
}

impl Pass {
    /// A pass that one issue ended before Vault was looked at.
    pub(crate) fn ended(issue: Issue) -> Self {
        let all = [ConditionType::Accepted, ConditionType::ResolvedRefs, ConditionType::Synced];
        let unknown = all.into_iter().filter(|type_| *type_ != issue.condition).collect();
        Self { outcome: Outcome { issues: vec![issue], unknown }, ..Self::default() }
    }
}

/// Reconciles one binding.
pub(crate) async fn reconcile(binding: Arc<VaultJwtBinding>, context: Arc<Context>) -> Action {
    let this = BindingRef::from_obj(binding.as_ref());
    if context.is_broken(&this) {
        return Action::await_change();
    }
    let _place = place(&binding, &context).await;
    // It may have changed while it waited.
    let Some(binding) = context.bindings.get(&this) else { return Action::await_change() };
    let mut state = context.take_state(&binding);
    // On the heap only from here on: a thousand passes that wait for a place must not each hold room for a whole one.
    let action = Box::pin(look(&binding, &context, &mut state)).await;
    context.put_state(&binding, state);
    action
}

/// A place among the passes of the binding's connection: each Vault has its own, so that a slow one delays no binding of
/// another. What needs no Vault needs no place.
async fn place(binding: &VaultJwtBinding, context: &Context) -> Option<OwnedSemaphorePermit> {
    let deleting = binding.metadata.deletion_timestamp.is_some();
    if deleting && binding.spec.deletion_policy == DeletionPolicy::Orphan {
        return None;
    }
    let live = context.connections.get(&binding.spec.connection_ref.name)?.ok()?;
    if live.trouble().is_some() {
        return None;
    }
    live.place().await
}

/// Says of a binding that a pass over it ended in a panic. What that pass knew is lost, and looked up again: it may have
/// recorded what it was about to make, which the store does not have yet.
pub(crate) async fn report_panic(binding: &VaultJwtBinding, context: &Context) {
    let mut state = context.take_state(binding);
    match cluster::get_raw::<VaultJwtBinding>(&context.operator.client, &binding.metadata).await {
        Ok(Some(object)) => match serde_json::from_value(object.data["status"].clone()) {
            Ok(status) => state.wrote(status, object.metadata.resource_version),
            Err(_) if object.data["status"].is_null() => {}
            Err(_) => return,
        },
        Ok(None) | Err(_) => return,
    }
    let issue = Issue::new(
        Class::Unavailable,
        ConditionType::Synced,
        Reason::InternalError,
        "A defect of the operator ended the pass; its log tells where, please report it",
    );
    let Pass { outcome, .. } = Pass::ended(issue);
    status::write(binding, context, &mut state, &Phase::Ended(outcome), None).await;
    context.put_state(binding, state);
}

async fn look(binding: &VaultJwtBinding, context: &Context, state: &mut BindingState) -> Action {
    let deleting = binding.metadata.deletion_timestamp.is_some();
    let ungranted = deletion::ungranted(binding, context, &state.status.managed_objects);
    let idle = binding.spec.suspend && !deleting && ungranted.is_empty();
    if !idle && !context.has_looked_at(&binding.spec.connection_ref.name) {
        // After a start the connection's own pass comes first, and asks for this one when it is done.
        return Action::requeue(pace::jitter(Duration::from_secs(5)));
    }
    if deleting {
        return deletion::look(binding, context, state).await;
    }
    let withdrawn =
        if ungranted.is_empty() { Ok(()) } else { deletion::withdraw(binding, context, state, &ungranted).await };
    if binding.spec.suspend {
        return rest(binding, context, state, withdrawn.err().unwrap_or_default()).await;
    }
    // What could not be withdrawn is tried again by the pass, which says why it fails.
    if !binding.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
        && let Err(error) = cluster::add_finalizer(&context.operator.client, binding).await
    {
        tracing::info!(%error, "Finalizer was not added, trying again");
        return Action::requeue(pace::jitter(Duration::from_secs(1)));
    }
    let before = conditions::find(&state.status.conditions, ConditionType::Ready).cloned();
    let pass = bounded(binding, pass(binding, context, state)).await;
    if pass.cut {
        return Action::requeue(pace::jitter(Duration::from_secs(1)));
    }
    if pass.collided && state.collisions < COLLISIONS {
        // Those who collided must not meet again in step. One of them gets through each time, so it is no failure.
        state.collisions += 1;
        return Action::requeue(Duration::from_millis(fastrand::u64(20..500)));
    }
    state.collisions = 0;
    finish(binding, context, state, pass, before.as_ref()).await
}

/// Says that a binding is suspended.
async fn rest(binding: &VaultJwtBinding, context: &Context, state: &mut BindingState, outcome: Outcome) -> Action {
    state.failures = if outcome.wants_retry() { state.failures.saturating_add(1) } else { 0 };
    let action = if outcome.issues.is_empty() {
        Action::await_change()
    } else {
        Action::requeue(pace::next(&outcome, Duration::from_secs(120), state.failures))
    };
    status::write(binding, context, state, &Phase::Suspended(outcome), None).await;
    action
}

/// How often a collision is nothing but a reason to try again at once.
const COLLISIONS: u32 = 50;

/// How long a pass waits for a config write, which goes on by itself behind it.
const CONFIG_PATIENCE: Duration = Duration::from_secs(20);

/// How long a pass may take.
pub(crate) fn limit(binding: &VaultJwtBinding) -> Duration {
    binding
        .spec
        .timeout
        .parse()
        .unwrap_or(Duration::from_secs(30))
        .clamp(Duration::from_secs(1), Duration::from_secs(600))
}

/// A pass within its `spec.timeout`.
async fn bounded(binding: &VaultJwtBinding, pass: impl Future<Output = Pass>) -> Pass {
    tokio::time::timeout(limit(binding), pass).await.unwrap_or_else(|_| {
        Pass::ended(Issue::new(
            Class::Unavailable,
            ConditionType::Synced,
            Reason::TimedOut,
            format!(
                "The pass took longer than spec.timeout ({}); Vault or the apiserver is slow",
                binding.spec.timeout.0
            ),
        ))
    })
}

/// Writes what happened and says when to look again.
async fn finish(
    binding: &VaultJwtBinding,
    context: &Context,
    state: &mut BindingState,
    pass: Pass,
    before: Option<&Condition>,
) -> Action {
    let Pass { mut outcome, managed, drift, news, .. } = pass;
    let generation = binding.metadata.generation.unwrap_or_default();
    conditions::notice_lasting(&mut outcome, &state.status.conditions, generation);
    state.failures = if outcome.wants_retry() { state.failures.saturating_add(1) } else { 0 };
    let interval = binding.spec.interval.parse().unwrap_or(Duration::from_secs(300)).max(Duration::from_secs(30));
    let wait = pace::next(&outcome, interval, state.failures);
    if outcome.doubts_vault() {
        context.doubt(&binding.spec.connection_ref.name);
    }
    let phase = Phase::Ended(outcome);
    let written = status::write(binding, context, state, &phase, managed.map(|managed| (managed, drift))).await;
    let after = conditions::find(&state.status.conditions, ConditionType::Ready);
    let about = binding.object_ref(&());
    for news in news.into_iter().chain(news::transition(before, after)) {
        context.events.publish(&about, news).await;
    }
    if written { Action::requeue(wait) } else { Action::requeue(pace::jitter(Duration::from_secs(2))) }
}

async fn pass(binding: &VaultJwtBinding, context: &Context, state: &mut BindingState) -> Pass {
    let this = BindingRef::from_obj(binding);
    let namespace = binding.namespace().unwrap_or_default();
    let session = match session(binding, context, &namespace) {
        Ok(session) => session,
        Err(issue) => return Pass::ended(issue),
    };
    let Some(connection) =
        context.vault_connections.get(&kube::runtime::reflector::ObjectRef::new(&binding.spec.connection_ref.name))
    else {
        return Pass::ended(connection_missing(binding));
    };
    let references = desired::references(&binding.spec);
    let references = cluster::resolve(&context.operator.client, &namespace, references).await;
    let labels = context.labels_of(&namespace);
    let granted = Granted::select(&connection.spec.grants, &namespace, &labels);
    let mut desired = desired::desired(&binding.spec, &references, &granted);
    let mut outcome = Outcome { issues: desired.problems.iter().map(Issue::of_problem).collect(), unknown: Vec::new() };

    let contest = context.contest(&this, &connection);
    let lost: BTreeSet<ObjectId> = contest.lost.iter().map(|claim| claim.id.clone()).collect();
    desired.leave(&contest.lost);
    outcome.issues.extend(contest.lost.iter().map(Issue::of_lost_claim));
    // What may become right again by itself, or is somebody else's in part, is neither wanted nor left over. But a spec
    // that is broken does not outlive a grant that is gone.
    let ungranted = ids(&desired.problems, |kind| kind == ProblemKind::NotGranted);
    let mut unknown = ids(&desired.problems, |kind| kind != ProblemKind::NotGranted);
    unknown.extend(lost.into_iter().filter(|id| id.kind == ObjectKind::Kv));
    unknown.retain(|id| !ungranted.contains(id));

    let owner = owner(context, binding);
    let settled = state.status.observed_generation == binding.metadata.generation.unwrap_or_default();
    let objects: BTreeSet<ObjectId> = desired.objects.iter().map(Object::id).collect();
    let claims = desired::claims(&binding.spec).into_iter().map(|claim| claim.id);
    let refused = claims.filter(|id| !objects.contains(id)).collect();
    let mode = Mode {
        correct: binding.spec.drift == DriftMode::Correct,
        generation: binding.metadata.generation.unwrap_or_default(),
        settled,
        takeover: binding.spec.adoption.into(),
        owner: &owner,
        mount: &binding.spec.auth.mount,
        refused: &refused,
        contested: &contest.contested,
        taken: &contest.taken,
    };
    let managed = sync::records::without(&state.status.managed_objects, &contest.taken);
    let leftovers = sync::records::leftovers(&managed, &desired.objects, &unknown);
    let seen =
        sync::observe(&session.vault, &session.mounts, &owner, &desired.objects, &leftovers, &mut state.memory).await;
    if context.contest(&this, &connection) != contest {
        // Somebody claims what was about to be deleted, or gave up what was left to them, while Vault was read.
        return Pass { cut: true, ..Pass::default() };
    }
    let plan = sync::plan(&desired.objects, &leftovers, &managed, &seen, &mode);
    let announced = plan.announced(&managed);
    if announced != managed
        && plan.steps.iter().any(sync::Step::writes)
        && !status::announce(binding, context, state, announced).await
    {
        return Pass::ended(Issue::new(
            Class::Unavailable,
            ConditionType::Synced,
            Reason::Pending,
            "What is about to be made could not be recorded in the status, so nothing was written to Vault",
        ));
    }
    let expected = news::expected(&desired.objects, &state.memory);
    let apply = sync::apply::Context {
        vault: &session.vault,
        mounts: &session.mounts,
        owner: &owner,
        config_patience: limit(binding).min(CONFIG_PATIENCE * 2) / 2,
        progress: &|_| {},
    };
    let report = sync::apply(&apply, &plan, &managed, &seen, &mut state.memory).await;
    let news = news::of_report(&report, &expected, settled);
    outcome.issues.extend(report.failures.iter().map(Issue::of_failure));
    outcome.issues.extend(news::drift_issue(&report.drift));
    let closed = |failure: &sync::Failure| matches!(failure.cause, Cause::Vault(VaultError::Closed));
    let cut = report.failures.iter().any(closed);
    let mismatch = |failure: &sync::Failure| matches!(failure.cause, Cause::Vault(VaultError::CasMismatch { .. }));
    let collided = !report.failures.is_empty()
        && report.failures.len() == outcome.issues.len()
        && report.failures.iter().all(mismatch);
    Pass { outcome, managed: Some(report.managed), drift: report.drift, news, cut, collided }
}

/// The session that a binding works with.
pub(crate) fn session(binding: &VaultJwtBinding, context: &Context, namespace: &str) -> Result<Session, Issue> {
    let name = &binding.spec.connection_ref.name;
    if context.vault_connections.get(&kube::runtime::reflector::ObjectRef::new(name)).is_none() {
        return Err(connection_missing(binding));
    }
    let issue = match context.connections.get(name) {
        Some(Ok(live)) => match live.trouble() {
            None => return Ok(live.session(namespace)),
            Some(issue) => issue,
        },
        Some(Err(issue)) => issue,
        None => Issue::new(Class::Waiting, ConditionType::Synced, Reason::Pending, "it was not looked at yet"),
    };
    Err(Issue {
        class: Class::Waiting,
        condition: ConditionType::Synced,
        reason: if issue.reason == Reason::VaultSealed { issue.reason } else { Reason::ConnectionNotReady },
        message: format!("VaultConnection '{name}': {}", issue.message),
        retry_after: issue.retry_after,
    })
}

fn connection_missing(binding: &VaultJwtBinding) -> Issue {
    let name = &binding.spec.connection_ref.name;
    Issue::new(
        Class::Waiting,
        ConditionType::ResolvedRefs,
        Reason::ConnectionNotFound,
        format!("spec.connectionRef: VaultConnection '{name}' does not exist; create it"),
    )
}

/// Whose objects a binding's are.
pub(crate) fn owner(context: &Context, binding: &VaultJwtBinding) -> Owner {
    Owner {
        cluster: context.cluster.clone(),
        namespace: binding.namespace().unwrap_or_default(),
        name: binding.name_any(),
    }
}

fn ids(problems: &[desired::Problem], kinds: impl Fn(ProblemKind) -> bool) -> BTreeSet<ObjectId> {
    problems.iter().filter(|problem| kinds(problem.kind)).filter_map(|problem| problem.object.clone()).collect()
}
