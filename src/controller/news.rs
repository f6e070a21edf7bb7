//! What of a pass is worth an event: what was put right, and transitions of `Ready`. Steady state has no news.

use std::collections::BTreeSet;

use super::events::News;
use super::outcome::{Class, Issue};
use crate::api::conditions::{Condition, ConditionStatus, ConditionType, Reason};
use crate::api::status::Drift;
use crate::desired::{Object, ObjectId};
use crate::sync::{Action, Memory, Report};

/// The KV entries whose desired data is new, e.g. because a Secret was rotated: writing them corrects no drift.
pub(crate) fn expected(objects: &[Object], memory: &Memory) -> BTreeSet<ObjectId> {
    objects.iter().filter(|object| memory.has_other_data(object)).map(Object::id).collect()
}

/// What was put right, and what was deleted or let go. Writes of a `settled` spec put something right; the first
/// ones of a new spec are no news.
pub(crate) fn of_report(report: &Report, expected: &BTreeSet<ObjectId>, settled: bool) -> Vec<News> {
    let mut corrected = Vec::new();
    let mut updated = Vec::new();
    for (id, action, changes) in &report.written {
        if !settled || *action == Action::TakeOver {
            continue;
        }
        if expected.contains(id) {
            updated.push(id.to_string());
            continue;
        }
        let fields: Vec<String> =
            changes.iter().map(|c| format!("{}: {} → {}", c.field, c.found, c.expected)).collect();
        corrected.push(format!("{id} ({})", fields.join("; ")));
    }
    let mut news = Vec::new();
    if !corrected.is_empty() {
        news.push(News::normal("DriftCorrected", "Correct", format!("Put right in Vault: {}", corrected.join(", "))));
    }
    if !updated.is_empty() {
        news.push(News::normal("Updated", "Update", format!("Referenced values changed: {}", updated.join(", "))));
    }
    if !report.deleted.is_empty() {
        let names: Vec<String> = report.deleted.iter().map(ObjectId::to_string).collect();
        news.push(News::normal("Removed", "Delete", format!("No longer wanted or granted: {}", names.join(", "))));
    }
    news.extend(
        report.released.iter().map(|(id, why)| News::normal("Released", "Release", format!("Let go of {id}: {why}"))),
    );
    news
}

/// Differences that were left, as the issue that they are.
pub(crate) fn drift_issue(drift: &[Drift]) -> Option<Issue> {
    let first = drift.first()?;
    let more = if drift.len() > 1 { format!(" and {} more", drift.len() - 1) } else { String::new() };
    Some(Issue::new(
        Class::Rejected,
        ConditionType::Synced,
        Reason::DriftDetected,
        format!(
            "{}: {} is {} and not {}{more}; put it right, or set drift: Correct",
            first.object, first.field, first.found, first.expected
        ),
    ))
}

/// The transition of `Ready`, if there was one. Becoming ready for the first time is no news: the condition tells.
pub(crate) fn transition(before: Option<&Condition>, after: Option<&Condition>) -> Option<News> {
    let after = after?;
    let failed =
        |before: &Condition| before.status == ConditionStatus::False && before.reason != Reason::Suspended.as_str();
    let same = before.is_some_and(|before| before.status == after.status && before.reason == after.reason);
    match after.status {
        _ if same => None,
        ConditionStatus::False => {
            Some(News::warning("NotReady", "Reconcile", format!("{}: {}", after.reason, after.message)))
        }
        ConditionStatus::True if before.is_some_and(failed) => {
            Some(News::normal("Recovered", "Reconcile", after.message.clone()))
        }
        ConditionStatus::True | ConditionStatus::Unknown => None,
    }
}
