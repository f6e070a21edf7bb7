//! Durations as people write them in Kubernetes (`5m`, `1h30m`) and the three-way leeway setting of a role.
//! The text is kept as it was written, so that a GitOps diff stays empty; the value is parsed where it is used.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a duration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not of the form `1h30m`.
    #[error("'{0}' must be a duration such as '30s', '5m' or '1h30m'")]
    Malformed(String),
    /// Vault keeps whole seconds only: `500ms` would be cut to 0, which for a leeway means the default.
    #[error("'{0}' must be a whole number of seconds: Vault cuts fractions of a second")]
    SubSecond(String),
    /// More than Vault can hold.
    #[error("'{0}' must be less than or equal to '87600h'")]
    TooLong(String),
}

/// Ten years: far above any sensible TTL and far below Vault's overflow.
const LONGEST: Duration = Duration::from_secs(87_600 * 3600);

/// A duration in Go's notation, e.g. `90s`, `5m`, `1h30m`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(transparent)]
pub struct DurationString(pub String);

impl DurationString {
    /// The value, in any resolution down to milliseconds.
    ///
    /// # Errors
    /// When the text is not a duration or longer than ten years.
    pub fn parse(&self) -> Result<Duration, DurationError> {
        let malformed = || DurationError::Malformed(self.0.clone());
        let mut rest = self.0.as_str();
        let mut total = Duration::ZERO;
        if rest.is_empty() {
            return Err(malformed());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(malformed)?;
            let number: f64 = rest[..digits].parse().map_err(|_| malformed())?;
            let (unit, length) = match &rest[digits..] {
                r if r.starts_with("ms") => (0.001, 2),
                r if r.starts_with('s') => (1.0, 1),
                r if r.starts_with('m') => (60.0, 1),
                r if r.starts_with('h') => (3600.0, 1),
                _ => return Err(malformed()),
            };
            let part =
                Duration::try_from_secs_f64(number * unit).map_err(|_| DurationError::TooLong(self.0.clone()))?;
            total = total.checked_add(part).ok_or_else(|| DurationError::TooLong(self.0.clone()))?;
            if total > LONGEST {
                return Err(DurationError::TooLong(self.0.clone()));
            }
            rest = &rest[digits + length..];
        }
        Ok(total)
    }

    /// The value in whole seconds, the only resolution that Vault keeps.
    ///
    /// # Errors
    /// As [`Self::parse`], and when it has a fraction of a second.
    pub fn seconds(&self) -> Result<i64, DurationError> {
        let value = self.parse()?;
        if value.subsec_nanos() != 0 {
            return Err(DurationError::SubSecond(self.0.clone()));
        }
        i64::try_from(value.as_secs()).map_err(|_| DurationError::TooLong(self.0.clone()))
    }
}

impl From<&str> for DurationString {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// A leeway of a role: a duration of at least `1s`, `Default` (Vault's own: 60 s of clock skew, 150 s for a missing
/// expiration or not-before) or `Off`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[serde(transparent)]
pub struct LeewaySetting(pub String);

impl LeewaySetting {
    /// What Vault stores: seconds, 0 for its default, −1 for none.
    ///
    /// # Errors
    /// When it is neither `Default`, `Off` nor a duration of whole seconds. `0s` is refused: to Vault 0 means 60 s or
    /// 150 s and not none, so the author has to say which of the two is meant.
    pub fn seconds(&self) -> Result<i64, DurationError> {
        match self.0.as_str() {
            "Default" => Ok(0),
            "Off" => Ok(-1),
            text => match DurationString::from(text).seconds()? {
                0 => Err(DurationError::SubSecond(self.0.clone())),
                seconds => Ok(seconds),
            },
        }
    }
}
