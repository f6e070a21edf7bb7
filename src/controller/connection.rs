//! One pass over a `VaultConnection`: is Vault there, does it let the operator in, is the token fresh.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::conditions::{self, Phase};
use super::connections::{Connection, Opening};
use super::context::Context;
use super::outcome::{Class, Issue, Outcome};
use super::{cluster, pace};
use crate::api::conditions::{ConditionType, Reason};
use crate::api::status::ConnectionStatus;
use crate::api::{REQUESTED_AT, VaultConnection};
use crate::vault::{ConnectFailure, VaultError};

const INTERVAL: Duration = Duration::from_secs(60);
/// One connection is asked for all its bindings, so it may be asked often.
const LONGEST_RETRY: Duration = Duration::from_secs(15);
const PARTS: [(ConditionType, &str); 2] =
    [(ConditionType::Reachable, "Vault answers"), (ConditionType::Authenticated, "Vault let the operator log in")];

/// Reconciles one connection.
pub(crate) async fn reconcile(connection: Arc<VaultConnection>, context: Arc<Context>) -> Action {
    let name = connection.name_any();
    if connection.metadata.deletion_timestamp.is_some() {
        return Action::await_change();
    }
    let mut outcome = Outcome::default();
    let mut renew_at = None;
    let opened = context.connections.open(&name, &connection.spec, &context.operator).await;
    let changed = match opened {
        Ok(Opening { live, new, unseen }) => {
            let fresh = !context.has_seen(&connection) || new;
            let result = look(&live, &connection, &context).await;
            renew_at = live.shared().and_then(|session| session.vault.renew_at());
            let issue = result.err();
            outcome.issues.extend(issue.clone());
            outcome.issues.extend(unseen);
            if live.shared().is_none() {
                // Each binding logs in as its own ServiceAccount, and says for itself how that went.
                outcome.unknown.push(ConditionType::Authenticated);
            }
            live.set_trouble(issue) || fresh
        }
        Err(issue) => {
            outcome.issues.push(issue.clone());
            context.connections.fail(&name, issue).await
        }
    };
    if outcome.issues.iter().any(|issue| issue.condition == ConditionType::Reachable) {
        outcome.unknown.push(ConditionType::Authenticated);
    }
    let failures = context.count_failures(&connection, outcome.wants_retry());
    let wait = pace::next(&outcome, if outcome.wants_retry() { LONGEST_RETRY } else { INTERVAL }, failures);
    write_status(&connection, &context, outcome).await;
    if changed {
        context.trigger_users_of(&name);
    }
    // A time that is past was tried, and did not help.
    let renew = renew_at.and_then(|at: Instant| at.checked_duration_since(Instant::now()));
    Action::requeue(renew.map_or(wait, |renew| renew.max(Duration::from_secs(1)).min(wait)))
}

/// Whether Vault is there and lets the operator in.
async fn look(live: &Connection, connection: &VaultConnection, context: &Context) -> Result<(), Issue> {
    let health = live.server.health().await.map_err(|error| {
        let issue = Issue::of_vault(&error, ConditionType::Reachable);
        let field = match &error {
            VaultError::Unreachable { reason: ConnectFailure::Tls(_), .. } => "spec.tls",
            _ => "spec.address",
        };
        Issue { message: format!("{field}: {}; check this setting, and that Vault is up", issue.message), ..issue }
    })?;
    context.remember_cluster_id(connection, health.cluster_id.clone());
    let unavailable =
        |reason, message: &str| Err(Issue::new(Class::Unavailable, ConditionType::Reachable, reason, message));
    if !health.initialized {
        return unavailable(Reason::VaultUnavailable, "Vault is not initialized; run `vault operator init`");
    }
    if health.sealed {
        return unavailable(Reason::VaultSealed, "Vault is sealed; unseal it");
    }
    match live.shared() {
        Some(session) => session.vault.authenticate().await.map_err(|error| {
            let issue = Issue::of_vault(&error, ConditionType::Authenticated);
            Issue { message: format!("spec.auth: {}", issue.message), ..issue }
        }),
        None => Ok(()),
    }
}

async fn write_status(connection: &VaultConnection, context: &Context, outcome: Outcome) {
    let generation = connection.metadata.generation.unwrap_or_default();
    let before = context.last_connection_status(connection);
    let drafts = conditions::drafts(&Phase::Ended(outcome), &PARTS, "Vault is reachable and the operator is logged in");
    let conditions = conditions::merge(&before.conditions, drafts, generation, conditions::now());
    let status = ConnectionStatus {
        observed_generation: conditions::observed(&conditions, generation, before.observed_generation),
        last_handled_reconcile_at: connection.annotations().get(REQUESTED_AT).cloned(),
        conditions,
    };
    if status == before {
        return;
    }
    match cluster::write_status::<VaultConnection>(&context.operator.client, &connection.metadata, &status).await {
        Ok(_) => context.remember_connection_status(connection, status),
        Err(error) => tracing::warn!(name = connection.name_any(), %error, "Status of connection was not written"),
    }
}
