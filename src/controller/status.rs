//! Computes the status of a binding and writes it where it differs from the one that stands.

use kube::ResourceExt;

use super::cluster;
use super::conditions::{self, Draft, Phase};
use super::context::{BindingState, Context};
use crate::api::conditions::{ConditionStatus, ConditionType, Reason};
use crate::api::status::{BindingStatus, Drift, ManagedObject};
use crate::api::{REQUESTED_AT, VaultJwtBinding};

const PARTS: [(ConditionType, &str); 3] = [
    (ConditionType::Accepted, "The spec is valid and granted"),
    (ConditionType::ResolvedRefs, "All references were found"),
    (ConditionType::Synced, "Vault equals the spec"),
];

/// Drift entries that are kept; more say no more.
const DRIFT: usize = 64;

/// What a pass knows of Vault: what is owned, and what differs.
type Known = (Vec<ManagedObject>, Vec<Drift>);

/// Writes the status of a phase; says whether it stands. What the pass did not get to know stays as it is.
pub(crate) async fn write(
    binding: &VaultJwtBinding,
    context: &Context,
    state: &mut BindingState,
    phase: &Phase,
    known: Option<Known>,
) -> bool {
    let generation = binding.metadata.generation.unwrap_or_default();
    let mut drafts = conditions::drafts(phase, &PARTS, "Vault equals the spec");
    drafts.push(login(binding));
    let before = &state.status;
    let conditions = conditions::merge(&before.conditions, drafts, generation, conditions::now());
    let (managed_objects, drift) = known.unwrap_or_else(|| (before.managed_objects.clone(), before.drift.clone()));
    // Handled is what was looked at to the end.
    let handled = match phase {
        Phase::Ended(_) | Phase::Deleting(_) => binding.annotations().get(REQUESTED_AT).cloned(),
        Phase::Started | Phase::Suspended(_) => before.last_handled_reconcile_at.clone(),
    };
    let status = BindingStatus {
        observed_generation: conditions::observed(&conditions, generation, before.observed_generation),
        last_handled_reconcile_at: handled,
        managed_objects,
        drift: drift.into_iter().take(DRIFT).collect(),
        login: before.login.clone(),
        conditions,
    };
    put(binding, context, state, status).await
}

/// Records what is about to be owned, before the first write to Vault. Conditions of this generation stay as they are.
pub(crate) async fn announce(
    binding: &VaultJwtBinding,
    context: &Context,
    state: &mut BindingState,
    managed: Vec<ManagedObject>,
) -> bool {
    let generation = binding.metadata.generation.unwrap_or_default();
    let judged = conditions::find(&state.status.conditions, ConditionType::Ready)
        .is_some_and(|ready| ready.observed_generation == generation && ready.reason != Reason::Suspended.as_str());
    if judged {
        let status = BindingStatus { managed_objects: managed, ..state.status.clone() };
        return put(binding, context, state, status).await;
    }
    let drift = state.status.drift.clone();
    write(binding, context, state, &Phase::Started, Some((managed, drift))).await
}

async fn put(binding: &VaultJwtBinding, context: &Context, state: &mut BindingState, status: BindingStatus) -> bool {
    if status == state.status {
        return true;
    }
    match cluster::write_status::<VaultJwtBinding>(&context.operator.client, &binding.metadata, &status).await {
        Ok(resource_version) => {
            state.wrote(status, resource_version);
            true
        }
        Err(error) => {
            tracing::warn!(
                namespace = binding.namespace().unwrap_or_default(),
                name = binding.name_any(),
                %error,
                "Status was not written"
            );
            false
        }
    }
}

/// Login health is not judged by this version; that is said, and `Ready` does not count it.
fn login(binding: &VaultJwtBinding) -> Draft {
    let (reason, message) = match binding.spec.login {
        None => (Reason::NotRequested, "spec.login is not set"),
        Some(_) => (Reason::NotProbed, "This version does not probe logins yet"),
    };
    Draft::new(ConditionType::LoginHealthy, ConditionStatus::Unknown, reason, message)
}
