//! From the outcome of a pass to the conditions of a status. Pure; keeps the invariants of kstatus and Flux: `Ready` is
//! always there, `Reconciling` and `Stalled` only while true and never both, a transition time moves only with its status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::outcome::{Class, Issue, Outcome};
use crate::api::conditions::{Condition, ConditionStatus, ConditionType, Reason};

/// Longest message of a condition, in bytes.
const MESSAGE: usize = 1024;

/// What the object is going through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A first pass of this generation is under way.
    Started,
    /// A pass ended.
    Ended(Outcome),
    /// `suspend: true`; and what keeps from being deleted that is no longer granted.
    Suspended(Outcome),
    /// The object is being deleted, and something holds it up.
    Deleting(Outcome),
}

/// A condition before it is merged with the one that stands.
pub(crate) struct Draft {
    type_: ConditionType,
    status: ConditionStatus,
    reason: Reason,
    message: String,
}

impl Draft {
    pub(crate) fn new(
        type_: ConditionType,
        status: ConditionStatus,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self { type_, status, reason, message: message.into() }
    }
}

/// The conditions of a phase: those of `parts`, each judged by the outcome, and the summary.
pub(crate) fn drafts(phase: &Phase, parts: &[(ConditionType, &str)], success: &str) -> Vec<Draft> {
    use ConditionStatus::{False, True, Unknown};
    let pending = |type_| Draft::new(type_, Unknown, Reason::Pending, "Not looked at in this pass");
    let mut drafts: Vec<Draft> = match phase {
        Phase::Started | Phase::Suspended(_) => parts.iter().map(|(type_, _)| pending(*type_)).collect(),
        Phase::Ended(outcome) | Phase::Deleting(outcome) => parts
            .iter()
            .map(|(type_, fine)| {
                let issues: Vec<&Issue> = outcome.issues.iter().filter(|issue| issue.condition == *type_).collect();
                match issues.iter().min_by_key(|issue| issue.class) {
                    Some(worst) => Draft::new(*type_, False, worst.reason, join(&issues)),
                    None if outcome.unknown.contains(type_) => pending(*type_),
                    None => Draft::new(*type_, True, Reason::Succeeded, *fine),
                }
            })
            .collect(),
    };
    match phase {
        Phase::Started => {
            drafts.push(Draft::new(ConditionType::Ready, Unknown, Reason::Progressing, "The first pass is under way"));
            drafts.push(Draft::new(
                ConditionType::Reconciling,
                True,
                Reason::Progressing,
                "The first pass is under way",
            ));
        }
        Phase::Suspended(outcome) => {
            let mut message = "Suspended: Vault is neither compared nor written; remove `suspend` to go on".to_owned();
            if let Some(worst) = outcome.worst() {
                message = format!("{message}. What is no longer granted is not deleted yet: {}", worst.message);
            }
            drafts.push(Draft::new(ConditionType::Ready, False, Reason::Suspended, message));
        }
        Phase::Ended(outcome) | Phase::Deleting(outcome) => match outcome.worst() {
            None => drafts.push(Draft::new(ConditionType::Ready, True, Reason::Succeeded, success)),
            Some(worst) => {
                drafts.push(Draft::new(
                    ConditionType::Ready,
                    False,
                    worst.reason,
                    summary(worst, outcome.issues.len()),
                ));
                // While it is being deleted the object is in no steady state, whatever is in the way.
                let stalled = outcome.is_stalled() && !matches!(phase, Phase::Deleting(_));
                drafts.push(if stalled {
                    Draft::new(ConditionType::Stalled, True, worst.reason, &worst.message)
                } else {
                    Draft::new(ConditionType::Reconciling, True, Reason::ProgressingWithRetry, &worst.message)
                });
            }
        },
    }
    drafts
}

/// One line for `kubectl get`: the worst issue, and how many there are besides. The other conditions have them all.
fn summary(worst: &Issue, issues: usize) -> String {
    match issues {
        0 | 1 => worst.message.clone(),
        _ => format!("{} (and {} more, see the conditions)", worst.message, issues - 1),
    }
}

/// The worst issue first, the others behind it, each once.
fn join(issues: &[&Issue]) -> String {
    let mut sorted: Vec<&&Issue> = issues.iter().collect();
    sorted.sort_by_key(|issue| issue.class);
    let mut messages: Vec<&str> = Vec::new();
    for issue in sorted {
        if !messages.contains(&issue.message.as_str()) {
            messages.push(&issue.message);
        }
    }
    messages.join(". ")
}

/// The present moment, in the whole seconds that Kubernetes keeps: with a fraction, what was written would differ from
/// what is read.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()
}

/// Merges drafts into the conditions that stand. A condition that is not drafted is removed.
pub(crate) fn merge(standing: &[Condition], drafts: Vec<Draft>, generation: i64, now: Timestamp) -> Vec<Condition> {
    drafts
        .into_iter()
        .map(|draft| {
            let type_ = draft.type_.as_str().to_owned();
            let since = standing
                .iter()
                .find(|condition| condition.type_ == type_ && condition.status == draft.status)
                .map_or(Time(now), |condition| condition.last_transition_time.clone());
            Condition {
                type_,
                status: draft.status,
                reason: draft.reason.as_str().to_owned(),
                message: cut(&draft.message),
                last_transition_time: since,
                observed_generation: generation,
            }
        })
        .collect()
}

/// A message of one line and bounded length.
fn cut(message: &str) -> String {
    let mut text: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.len() > MESSAGE {
        let end = (0..=MESSAGE - 3).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}

/// What reads back differently in the same way as in the pass before will do so again: writing it once more helps
/// nobody, and of a config makes Vault ask the issuer. It is left for the interval, and for a person.
pub(crate) fn notice_lasting(outcome: &mut Outcome, standing: &[Condition], generation: i64) {
    let Some(synced) = find(standing, ConditionType::Synced).filter(|known| known.observed_generation == generation)
    else {
        return;
    };
    for issue in outcome.issues.iter_mut().filter(|issue| issue.reason == Reason::ReadBackDiffers) {
        if synced.message.contains(cut(&issue.message).trim_end_matches('…')) {
            issue.class = Class::Rejected;
        }
    }
}

/// The condition of a type.
pub(crate) fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

/// The generation that was dealt with to the end: ready, stalled or suspended.
pub(crate) fn observed(conditions: &[Condition], generation: i64, before: i64) -> i64 {
    let is = |type_, status| find(conditions, type_).is_some_and(|condition| condition.status == status);
    let suspended = find(conditions, ConditionType::Ready).is_some_and(|c| c.reason == Reason::Suspended.as_str());
    let settled = is(ConditionType::Ready, ConditionStatus::True) || is(ConditionType::Stalled, ConditionStatus::True);
    if settled || suspended { generation } else { before }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::pace;

    const PARTS: [(ConditionType, &str); 2] = [(ConditionType::Accepted, "fine"), (ConditionType::Synced, "equal")];

    fn issue(class: Class, message: &str) -> Issue {
        Issue::new(class, ConditionType::Synced, Reason::VaultUnavailable, message)
    }

    fn ended(issues: Vec<Issue>) -> Phase {
        Phase::Ended(Outcome { issues, unknown: Vec::new() })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn status(conditions: &[Condition], type_: ConditionType) -> Option<ConditionStatus> {
        find(conditions, type_).map(|condition| condition.status)
    }

    #[test]
    fn what_can_be_retried_reconciles_and_what_cannot_is_stalled() {
        use ConditionStatus::{False, True, Unknown};
        let rows = [
            (Phase::Started, Some(Unknown), Some(True), None),
            (Phase::Suspended(Outcome::default()), Some(False), None, None),
            (ended(vec![]), Some(True), None, None),
            (ended(vec![issue(Class::Unavailable, "a")]), Some(False), Some(True), None),
            (ended(vec![issue(Class::Unavailable, "a"), issue(Class::Rejected, "b")]), Some(False), None, Some(True)),
            (
                Phase::Deleting(Outcome { issues: vec![issue(Class::Rejected, "b")], unknown: vec![] }),
                Some(False),
                Some(True),
                None,
            ),
        ];
        for (phase, ready, reconciling, stalled) in rows {
            let conditions = merge(&[], drafts(&phase, &PARTS, "done"), 3, at(1));
            assert_eq!(status(&conditions, ConditionType::Ready), ready, "{phase:?}");
            assert_eq!(status(&conditions, ConditionType::Reconciling), reconciling, "{phase:?}");
            assert_eq!(status(&conditions, ConditionType::Stalled), stalled, "{phase:?}");
            let settled = ready == Some(True) || stalled.is_some() || matches!(phase, Phase::Suspended(_));
            assert_eq!(observed(&conditions, 3, 2), if settled { 3 } else { 2 }, "{phase:?}");
        }
    }

    #[test]
    fn a_transition_time_moves_only_with_its_status() {
        let first = merge(&[], drafts(&ended(vec![issue(Class::Unavailable, "a")]), &PARTS, "done"), 1, at(1));
        let second = merge(&first, drafts(&ended(vec![issue(Class::Unavailable, "b")]), &PARTS, "done"), 1, at(2));
        let third = merge(&second, drafts(&ended(vec![]), &PARTS, "done"), 1, at(3));
        let since = |conditions: &[Condition], type_| find(conditions, type_).unwrap().last_transition_time.0;
        assert_eq!(since(&second, ConditionType::Ready), at(1));
        assert_eq!(find(&second, ConditionType::Ready).unwrap().message, "b");
        assert_eq!(since(&third, ConditionType::Ready), at(3));
        assert_eq!(since(&third, ConditionType::Accepted), at(1));
    }

    #[test]
    fn what_reads_back_differently_twice_is_stalled_until_it_changes() {
        let interval = std::time::Duration::from_secs(3600);
        let differs = |found: &str| {
            let message = format!("Role jwt/a: Vault does not keep what was written: token_ttl is {found}");
            Issue::new(Class::Unavailable, ConditionType::Synced, Reason::ReadBackDiffers, message)
        };
        let mut conditions = Vec::new();
        let long = "ü".repeat(2000);
        for (generation, found, stalled) in [
            (1, "1", false),
            (1, "1", true),
            (1, "1", true),
            (1, "2", false),
            (1, &long, false),
            (1, &long, true),
            (2, &long, false),
            (2, &long, true),
        ] {
            let mut outcome = Outcome { issues: vec![differs(found)], unknown: Vec::new() };
            notice_lasting(&mut outcome, &conditions, generation);
            let wait = pace::next(&outcome, interval, 1);
            assert_eq!(wait > interval / 2, stalled, "{generation} {found}: {wait:?}");
            let drafts = drafts(&Phase::Ended(outcome), &PARTS, "done");
            conditions = merge(&conditions, drafts, generation, at(1));
            let is_stalled = status(&conditions, ConditionType::Stalled) == Some(ConditionStatus::True);
            assert_eq!(is_stalled, stalled, "{generation} {found}");
        }
    }

    #[test]
    fn a_message_is_one_short_line() {
        let long = format!("a\n{}", "ü".repeat(2000));
        let conditions = merge(&[], drafts(&ended(vec![issue(Class::Unavailable, &long)]), &PARTS, "done"), 1, at(1));
        let message = &find(&conditions, ConditionType::Ready).unwrap().message;
        assert!(message.len() <= MESSAGE && !message.contains('\n') && message.ends_with('…'));
    }
}
