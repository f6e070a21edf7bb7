//! How long a role's tokens live and with how much patience their times are compared. Vault keeps whole seconds and cuts
//! fractions, and to it a leeway of 0 means its default and −1 none.

use serde_json::Value;

use crate::api::binding::{RoleSpec, TokenType};
use crate::api::duration::{DurationError, LeewaySetting};

use super::super::grants::Demand;
use super::super::{Check, Fields};

/// Durations of a role in Vault's seconds.
pub(super) struct Lifetime {
    /// TTL, max TTL, explicit max TTL, period.
    lives: [i64; 4],
    clock_skew: i64,
    expiration: i64,
    not_before: i64,
}

impl Lifetime {
    pub(super) fn new(role: &RoleSpec, field: &str, check: &mut Check<'_>) -> Self {
        let ttl = check.seconds(format!("{field}.tokenTtl"), role.token_ttl.as_ref());
        let max = check.seconds(format!("{field}.tokenMaxTtl"), role.token_max_ttl.as_ref());
        let explicit = check.seconds(format!("{field}.tokenExplicitMaxTtl"), role.token_explicit_max_ttl.as_ref());
        let period = check.seconds(format!("{field}.tokenPeriod"), role.token_period.as_ref());
        for (longest, name) in [(max, "tokenMaxTtl"), (explicit, "tokenExplicitMaxTtl")] {
            if longest > 0 && ttl > longest {
                check.invalid(format!("{field}.tokenTtl"), format!("must be less than or equal to {name}"));
            }
        }
        if role.token_num_uses < 0 {
            check.invalid(format!("{field}.tokenNumUses"), "must be greater than or equal to 0");
        }
        if role.token_type == TokenType::Batch {
            if period > 0 {
                check.invalid(format!("{field}.tokenPeriod"), "must not be set when tokenType is Batch");
            }
            if role.token_num_uses > 0 {
                check.invalid(format!("{field}.tokenNumUses"), "must be 0 when tokenType is Batch");
            }
        }
        Self {
            lives: [ttl, max, explicit, period],
            clock_skew: leeway(&role.clock_skew_leeway, &format!("{field}.clockSkewLeeway"), 60, check),
            expiration: leeway(&role.expiration_leeway, &format!("{field}.expirationLeeway"), 150, check),
            not_before: leeway(&role.not_before_leeway, &format!("{field}.notBeforeLeeway"), 150, check),
        }
    }

    /// What a grant that bounds the life of tokens asks: that the role bounds it too, and nowhere above the grant.
    pub(super) fn demands(&self, field: &str) -> Vec<Demand<'static>> {
        let names = ["tokenTtl", "tokenMaxTtl", "tokenExplicitMaxTtl", "tokenPeriod"];
        let set = names.into_iter().zip(self.lives).filter(|(_, seconds)| *seconds > 0);
        let mut demands: Vec<_> =
            set.map(|(name, seconds)| Demand::token_life(&format!("{field}.{name}"), seconds)).collect();
        if self.lives[1..].iter().all(|seconds| *seconds == 0) {
            demands.push(Demand::unbounded_life(&format!("{field}.tokenMaxTtl")));
        }
        demands
    }

    pub(super) fn fields(&self) -> Fields {
        let [ttl, max, explicit, period] = self.lives.map(Value::from);
        Fields::from([
            ("clock_skew_leeway", self.clock_skew.into()),
            ("expiration_leeway", self.expiration.into()),
            ("not_before_leeway", self.not_before.into()),
            ("token_explicit_max_ttl", explicit),
            ("token_max_ttl", max),
            ("token_period", period),
            ("token_ttl", ttl),
        ])
    }
}

fn leeway(setting: &LeewaySetting, field: &str, default: u8, check: &mut Check<'_>) -> i64 {
    match setting.seconds() {
        Ok(seconds) => seconds,
        Err(error) => {
            let text = &setting.0;
            let message = match error {
                DurationError::SubSecond(_) => format!(
                    "'{text}' must be a whole number of seconds, at least '1s': Vault cuts fractions off, and 0 means its \
                     default of {default} s; write 'Default' for that, or 'Off' for none"
                ),
                DurationError::Malformed(_) => {
                    format!("'{text}' must be a duration such as '60s', 'Default' (Vault's own {default} s) or 'Off'")
                }
                DurationError::TooLong(_) => error.to_string(),
            };
            check.invalid(field, message);
            0
        }
    }
}
