//! How long a denial is taken for Vault's answer: a new login may cure one, since a role's policies may have changed, but
//! each is a new token. A denial that lasts costs fewer and fewer of them, down to one an hour.

use std::time::{Duration, Instant};

/// For so long the first denial stands that a new login did not cure.
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);

/// Which denial.
#[derive(Clone, Copy)]
pub(super) enum Denial {
    /// The token itself is not taken: it has ended, or was revoked.
    Token,
    /// The token may not do this.
    Plain,
}

impl Denial {
    pub(super) fn new(invalid: bool) -> Self {
        if invalid { Self::Token } else { Self::Plain }
    }
}

/// The denials that stand.
#[derive(Default)]
pub(super) struct Denials {
    token: Option<Instant>,
    plain: Option<Standing>,
}

struct Standing {
    /// The login that did not cure it.
    serial: u64,
    until: Instant,
    length: Duration,
}

impl Denials {
    /// Whether a new login would be in vain.
    pub(super) fn stands(&self, denial: Denial, now: Instant) -> bool {
        let until = match denial {
            Denial::Token => self.token,
            Denial::Plain => self.plain.as_ref().map(|standing| standing.until),
        };
        until.is_some_and(|until| now < until)
    }

    /// A login helped: the next denial is a new one.
    pub(super) fn cured(&mut self) {
        self.plain = None;
    }

    /// The login with this serial was in vain. Told by many callers, it counts once.
    pub(super) fn not_cured(&mut self, denial: Denial, serial: u64, now: Instant) {
        match denial {
            // A token that was good will be replaced as soon as it is not: this stops only a Vault that takes none.
            Denial::Token => self.token = Some(now + FIRST),
            Denial::Plain => {
                let length = match &self.plain {
                    Some(standing) if standing.serial == serial => return,
                    Some(standing) => (standing.length * 2).min(LONGEST),
                    None => FIRST,
                };
                self.plain = Some(Standing { serial, until: now + length, length });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logins within a day, while something is asked every 30 s that is always denied.
    fn logins(denial: Denial) -> u64 {
        let (mut denials, mut serial, start) = (Denials::default(), 0, Instant::now());
        for tick in 0..2880 {
            let now = start + Duration::from_secs(30) * tick;
            if !denials.stands(denial, now) {
                serial += 1;
                denials.not_cured(denial, serial, now);
            }
        }
        serial
    }

    #[test]
    fn what_is_denied_for_ever_costs_about_a_login_an_hour() {
        assert!((24..32).contains(&logins(Denial::Plain)), "{}", logins(Denial::Plain));
    }

    #[test]
    fn a_token_that_is_not_taken_is_replaced_every_minute() {
        assert_eq!(logins(Denial::Token), 1440);
    }

    #[test]
    fn many_objects_that_one_login_did_not_cure_count_once() {
        let (mut denials, now) = (Denials::default(), Instant::now());
        for _ in 0..100 {
            denials.not_cured(Denial::Plain, 2, now);
        }
        assert!(denials.stands(Denial::Plain, now + Duration::from_secs(59)));
        assert!(!denials.stands(Denial::Plain, now + Duration::from_secs(60)));
        assert!(!denials.stands(Denial::Token, now), "a token that has ended is replaced all the same");
    }
}
