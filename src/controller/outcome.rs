//! What a pass found, in terms of what the reader can do about it. This is the one place where a cause becomes a class,
//! a condition, a reason and a sentence.

use std::time::Duration;

use crate::api::conditions::{ConditionType, Reason};
use crate::desired::{Claim, Problem, ProblemKind};
use crate::sync::Failure;
use crate::sync::apply::Cause;
use crate::vault::VaultError;

/// What the reader can do. In the order in which a summary prefers to show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Change the spec, the grants, or what is in the way; no retry will help.
    Rejected,
    /// Vault's own policies must allow more; retried slowly.
    Denied,
    /// Something else must come first; looked at again when it comes.
    Waiting,
    /// Retried.
    Unavailable,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issue {
    pub(crate) class: Class,
    pub(crate) condition: ConditionType,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
}

impl Issue {
    pub(crate) fn new(class: Class, condition: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { class, condition, reason, message: message.into(), retry_after: None }
    }

    /// Something in the spec, a reference or the grants.
    pub(crate) fn of_problem(problem: &Problem) -> Self {
        let (class, condition, reason) = match problem.kind {
            ProblemKind::Invalid => (Class::Rejected, ConditionType::Accepted, Reason::Invalid),
            ProblemKind::NotGranted => (Class::Rejected, ConditionType::Accepted, Reason::NotGranted),
            ProblemKind::ReferenceNotFound => (Class::Waiting, ConditionType::ResolvedRefs, Reason::ReferenceNotFound),
            ProblemKind::ReferenceInvalid => (Class::Rejected, ConditionType::ResolvedRefs, Reason::ReferenceInvalid),
        };
        Self::new(class, condition, reason, format!("{}: {}", problem.field, problem.message))
    }

    /// A claim of an older binding that stands in the way.
    pub(crate) fn of_lost_claim(claim: &Claim) -> Self {
        let key = claim.key.as_ref().map(|key| format!(" key '{key}'")).unwrap_or_default();
        let message =
            format!("{}{key}: an older binding claims it too; choose another name, or remove it there", claim.id);
        Self::new(Class::Rejected, ConditionType::Accepted, Reason::Conflict, message)
    }

    /// Something in Vault.
    pub(crate) fn of_failure(failure: &Failure) -> Self {
        let (class, condition, reason) = match &failure.cause {
            Cause::Vault(error) => {
                let issue = Self::of_vault(error, ConditionType::Synced);
                return Self { message: format!("{}: {}", failure.id, issue.message), ..issue };
            }
            Cause::ReadBackDiffers(_) => (Class::Unavailable, ConditionType::Synced, Reason::ReadBackDiffers),
            Cause::Conflict(_) => (Class::Rejected, ConditionType::Accepted, Reason::Conflict),
            Cause::MountMissing => (Class::Waiting, ConditionType::Synced, Reason::MountNotFound),
            Cause::MountType(_) => (Class::Rejected, ConditionType::Accepted, Reason::MountTypeMismatch),
            Cause::IssuerSlow => (Class::Waiting, ConditionType::Synced, Reason::IssuerUnreachable),
            Cause::WaitsForMount | Cause::PolicyMissing(_) => (Class::Waiting, ConditionType::Synced, Reason::Pending),
        };
        Self::new(class, condition, reason, format!("{}: {}", failure.id, failure.cause))
    }

    /// A failed request to Vault.
    pub(crate) fn of_vault(error: &VaultError, condition: ConditionType) -> Self {
        let (class, reason) = match error {
            VaultError::Sealed { .. } => (Class::Unavailable, Reason::VaultSealed),
            VaultError::Denied { .. } => (Class::Denied, Reason::VaultDenied),
            VaultError::LoginRefused { .. } | VaultError::NoJwt { .. } => (Class::Denied, Reason::LoginRefused),
            VaultError::Rejected { .. } | VaultError::InvalidRequest { .. } | VaultError::TooLarge { .. } => {
                (Class::Rejected, Reason::VaultRejected)
            }
            VaultError::NamespaceUnsupported => (Class::Rejected, Reason::NamespaceUnsupported),
            VaultError::IssuerUnreachable { .. } | VaultError::NoTurn { .. } => {
                (Class::Waiting, Reason::IssuerUnreachable)
            }
            VaultError::Superseded { .. } => (Class::Waiting, Reason::Pending),
            VaultError::NoMount { .. } => (Class::Waiting, Reason::MountNotFound),
            _ => (Class::Unavailable, Reason::VaultUnavailable),
        };
        Self { retry_after: error.retry_after(), ..Self::new(class, condition, reason, error.to_string()) }
    }
}

/// What a pass found as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Everything that is not as it should be.
    pub(crate) issues: Vec<Issue>,
    /// Conditions that this pass could not judge.
    pub(crate) unknown: Vec<ConditionType>,
}

impl Outcome {
    /// The issue that the summary shows.
    pub(crate) fn worst(&self) -> Option<&Issue> {
        self.issues.iter().min_by_key(|issue| issue.class)
    }

    /// Whether only a change from outside can help.
    pub(crate) fn is_stalled(&self) -> bool {
        self.worst().is_some_and(|issue| issue.class == Class::Rejected)
    }

    /// Whether Vault as a whole seems to be the cause.
    pub(crate) fn doubts_vault(&self) -> bool {
        let whole = [Reason::VaultSealed, Reason::VaultUnavailable, Reason::LoginRefused, Reason::TimedOut];
        self.issues.iter().any(|issue| whole.contains(&issue.reason))
    }

    /// Whether trying again may help.
    pub(crate) fn wants_retry(&self) -> bool {
        self.issues.iter().any(|issue| issue.class != Class::Rejected)
    }
}
