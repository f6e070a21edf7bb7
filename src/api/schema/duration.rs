//! Durations as texts. Each rule about the length holds its tongue when the text is no duration, so that the author reads
//! one message and not a failure of CEL.

use schemars::Schema;
use serde_json::Value;

use super::rule::{matches, rule, schema, text};

/// What CEL's `duration()` and ours both read. The digits are bounded so that no sum overflows, and so that each duration
/// is a whole number of milliseconds.
const DURATION: &str = r"^(\d{1,5}(\.\d{1,3})?h|\d{1,7}(\.\d{1,3})?m|\d{1,9}(\.\d{1,3})?s|\d{1,9}ms)+$";
const WHOLE_SECONDS: &str = "duration(self).getMilliseconds() % 1000 == 0";
const LONGEST: &str = "duration(self) <= duration('87600h')";

fn when_duration(condition: &str) -> String {
    format!("!{} || {condition}", matches(DURATION))
}

fn is_duration() -> Value {
    rule(matches(DURATION), "must be a duration such as '30s', '5m' or '1h30m'")
}

fn between(shortest: &str, longest: &str) -> Schema {
    text(
        32,
        [
            is_duration(),
            rule(
                when_duration(&format!("duration(self) >= duration('{shortest}')")),
                format!("must be greater than or equal to '{shortest}'"),
            ),
            rule(
                when_duration(&format!("duration(self) <= duration('{longest}')")),
                format!("must be less than or equal to '{longest}'"),
            ),
        ],
    )
}

fn whole_seconds(shortest: &str) -> Schema {
    text(
        32,
        [
            is_duration(),
            rule(when_duration(WHOLE_SECONDS), "must be a whole number of seconds: fractions would be cut off"),
            rule(
                when_duration(&format!("duration(self) >= duration('{shortest}')")),
                format!("must be greater than or equal to '{shortest}'"),
            ),
            rule(when_duration(LONGEST), "must be less than or equal to '87600h'"),
        ],
    )
}

fn leeway(default: u8) -> Schema {
    let unless_word = |condition: &str| format!("self in ['Default', 'Off'] || {condition}");
    text(
        32,
        [
            rule(
                unless_word(&matches(DURATION)),
                format!("must be a duration such as '60s', 'Default' (Vault's own {default} s) or 'Off'"),
            ),
            rule(
                unless_word(&when_duration(&format!("(duration(self) >= duration('1s') && {WHOLE_SECONDS})"))),
                format!(
                    "must be a whole number of seconds and at least '1s': Vault cuts fractions off, and 0 means its default \
                     of {default} s; write 'Default' for that, or 'Off' for none"
                ),
            ),
            rule(unless_word(&when_duration(LONGEST)), "must be less than or equal to '87600h'"),
        ],
    )
}

schema! {
    /// Between two passes or probes.
    Interval => between("30s", "87600h");
    /// Of one pass, which holds a place that others wait for.
    Timeout => between("1s", "10m");
    /// Of a token from Vault; 0 for Vault's own.
    Ttl => whole_seconds("0s");
    /// Of a token that the operator signs.
    TokenLife => whole_seconds("1s");
    /// Of `nbf`, `exp` and `iat` against the clock.
    ClockSkewLeeway => leeway(60);
    /// For a token in which a time is missing.
    MissingTimeLeeway => leeway(150);
}

/// A CEL expression: the duration of one field is not above that of another, where both are set. 0 bounds nothing.
pub fn at_most(field: &str, bound: &str) -> String {
    format!(
        "!has(self.{field}) || !has(self.{bound}) || !self.{field}.matches(r'{DURATION}') || \
         !self.{bound}.matches(r'{DURATION}') || duration(self.{bound}) == duration('0s') || \
         duration(self.{field}) <= duration(self.{bound})"
    )
}

/// A CEL expression: the field is set to a duration above 0.
pub fn is_positive(field: &str) -> String {
    format!("(has(self.{field}) && self.{field}.matches(r'{DURATION}') && duration(self.{field}) > duration('0s'))")
}
