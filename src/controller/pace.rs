//! When to look again: at the interval, or sooner after a failure, always with jitter so that objects made at once do
//! not stay in step. Pure but for the random number.

use std::time::Duration;

use super::outcome::{Class, Outcome};

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(120);
/// Vault's policies change by a person's hand.
const DENIED_RETRY: Duration = Duration::from_secs(30);
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Spreads a duration by ±10 %.
pub(crate) fn jitter(duration: Duration) -> Duration {
    duration.mul_f64(0.9 + fastrand::f64() * 0.2)
}

/// How long to wait after a pass; `failures` passes in a row had something to retry, this one included.
pub(crate) fn next(outcome: &Outcome, interval: Duration, failures: u32) -> Duration {
    if !outcome.wants_retry() {
        return jitter(interval);
    }
    let doubled = FIRST_RETRY.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1).min(16)).unwrap_or(u32::MAX));
    let denied = outcome.issues.iter().all(|issue| matches!(issue.class, Class::Denied | Class::Rejected));
    let mut wait = doubled.min(LAST_RETRY);
    if denied {
        wait = wait.max(DENIED_RETRY);
    }
    let asked = outcome.issues.iter().filter_map(|issue| issue.retry_after).max().unwrap_or_default();
    jitter(wait.min(interval)).max(asked.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions::{ConditionType, Reason};
    use crate::controller::outcome::Issue;

    #[test]
    fn retries_grow_up_to_a_bound_and_never_pass_the_interval() {
        let issue = Issue::new(Class::Unavailable, ConditionType::Synced, Reason::VaultUnavailable, "");
        let outcome = Outcome { issues: vec![issue], unknown: vec![] };
        let hour = Duration::from_secs(3600);
        let waits: Vec<_> = (1..=40).map(|failures| next(&outcome, hour, failures)).collect();
        assert!(waits[0] <= Duration::from_millis(1100));
        assert!(waits[39] >= Duration::from_secs(100) && waits[39] <= Duration::from_secs(132));
        assert!(next(&outcome, Duration::from_secs(30), 40) <= Duration::from_secs(33));
        assert!(next(&Outcome::default(), hour, 0) >= Duration::from_secs(3200));
    }
}
