//! Collects the problems of one object while it is made. Every check goes on after a problem, so that all of them are
//! reported at once.

use std::fmt::Display;

use crate::api::duration::DurationString;

use super::grants::{Demand, Granted};
use super::{ObjectId, Problem, ProblemKind};

/// The checks of one object, or of the binding as a whole.
pub(super) struct Check<'p> {
    object: Option<ObjectId>,
    problems: &'p mut Vec<Problem>,
    before: usize,
}

impl<'p> Check<'p> {
    pub(super) fn new(object: Option<ObjectId>, problems: &'p mut Vec<Problem>) -> Self {
        let before = problems.len();
        Self { object, problems, before }
    }

    /// Whether no problem was found so far.
    pub(super) fn passed(&self) -> bool {
        self.problems.len() == self.before
    }

    pub(super) fn problem(&mut self, kind: ProblemKind, field: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { kind, field: field.into(), message: message.into(), object: self.object.clone() });
    }

    pub(super) fn invalid(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.problem(ProblemKind::Invalid, field, message);
    }

    /// The value, or the problem that there is none.
    pub(super) fn valid<T, E: Display>(&mut self, field: impl Into<String>, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.invalid(field, error.to_string())).ok()
    }

    /// Reports what no grant allows.
    pub(super) fn granted(&mut self, granted: &Granted<'_>, demands: &[Demand<'_>]) {
        for (field, message) in granted.denials(demands) {
            self.problem(ProblemKind::NotGranted, field, message);
        }
    }

    /// Whole seconds of a duration that may be left out; 0 then, as Vault reads it back.
    pub(super) fn seconds(&mut self, field: impl Into<String>, duration: Option<&DurationString>) -> i64 {
        duration.map_or(Ok(0), DurationString::seconds).unwrap_or_else(|error| {
            self.invalid(field, error.to_string());
            0
        })
    }

    /// Refuses what is empty, blank at an end, longer than `limit` bytes or holds control characters.
    pub(super) fn text(&mut self, field: impl Into<String>, text: &str, limit: usize) {
        if text.is_empty() {
            self.invalid(field, "must not be empty");
        } else if text.trim() != text {
            self.invalid(field, "must not begin or end with a space: Vault compares it to the letter");
        } else if text.len() > limit {
            self.invalid(field, format!("must be at most {limit} characters long"));
        } else if text.chars().any(char::is_control) {
            self.invalid(field, "must not contain control characters");
        }
    }
}
