//! The fields of a binding that belong to no Vault object. The schema says the same; the command line has no apiserver.

use std::time::Duration;

use crate::api::VaultJwtBindingSpec;
use crate::api::duration::DurationString;

use super::reference::is_object_name;
use super::{Check, Problem};

const SHORTEST_INTERVAL: Duration = Duration::from_secs(30);
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);
/// A pass holds a place that others wait for.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);

pub(super) fn check(spec: &VaultJwtBindingSpec, problems: &mut Vec<Problem>) {
    let mut check = Check::new(None, problems);
    if !is_object_name(&spec.connection_ref.name) {
        check.invalid("spec.connectionRef.name", "must be the name of a VaultConnection");
    }
    interval("spec.interval", &spec.interval, &mut check);
    match check.valid("spec.timeout", spec.timeout.parse()) {
        Some(timeout) if timeout < SHORTEST_TIMEOUT => check.invalid("spec.timeout", "must be at least '1s'"),
        Some(timeout) if timeout > LONGEST_TIMEOUT => check.invalid("spec.timeout", "must be at most '10m'"),
        _ => {}
    }
}

pub(super) fn interval(field: &str, interval: &DurationString, check: &mut Check<'_>) {
    if check.valid(field, interval.parse()).is_some_and(|interval| interval < SHORTEST_INTERVAL) {
        check.invalid(field, "must be at least '30s'");
    }
}
