//! What a command found and did, as one value: text for people and JSON for programs are made of it. The JSON's field
//! names and words are stable; values of secrets never enter it.

use serde::Serialize;

use super::files::FileProblem;
use crate::api::status::ObjectKind;
use crate::desired::ObjectId;
use crate::sync::{Action, Change, Step};

/// The whole result of `plan` or `apply`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) outcome: Outcome,
    pub(crate) summary: Summary,
    pub(crate) bindings: Vec<BindingReport>,
    /// What is wrong with the files or the bindings.
    pub(crate) problems: Vec<FileProblem>,
}

/// The result in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Outcome {
    /// Vault is as the files say.
    Unchanged,
    /// There is something to do.
    Changes,
    /// It was done.
    Applied,
    /// It could not be told, or not all of it could be done.
    Failed,
}

/// Objects, counted by what was found or done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    pub(crate) create: usize,
    pub(crate) update: usize,
    pub(crate) take_over: usize,
    pub(crate) unchanged: usize,
    pub(crate) problems: usize,
}

/// One binding.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BindingReport {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The address of its Vault.
    pub(crate) vault: String,
    /// What was not in the files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) from_environment: Vec<Origin>,
    pub(crate) objects: Vec<ObjectReport>,
}

/// A field whose value comes from the environment.
#[derive(Clone, Serialize)]
pub(crate) struct Origin {
    pub(crate) field: String,
    /// The name of the variable.
    pub(crate) variable: String,
}

/// One object in Vault.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ObjectReport {
    pub(crate) kind: String,
    pub(crate) path: String,
    pub(crate) action: Verb,
    pub(crate) changes: Vec<Change>,
    /// It has a place for a marker, has none, and is overwritten all the same: a person has seen the plan.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) taken_over: bool,
    /// Why it is not, or will not be, as it should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

/// What is done about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Verb {
    Keep,
    Create,
    Update,
    TakeOver,
    /// Nothing: there is a problem.
    None,
}

impl ObjectReport {
    /// What a step is about to do, or did.
    pub(crate) fn new(step: &Step<'_>, problem: Option<String>) -> Self {
        let action = match &step.action {
            _ if problem.is_some() => Verb::None,
            Action::Create => Verb::Create,
            Action::Update | Action::Adopt => Verb::Update,
            Action::TakeOver if step.writes() => Verb::TakeOver,
            _ => Verb::Keep,
        };
        let ObjectId { kind, path } = &step.id;
        let has_marker = matches!(kind, ObjectKind::Policy | ObjectKind::Kv);
        Self {
            kind: format!("{kind:?}"),
            path: path.clone(),
            action,
            changes: step.changes.clone(),
            taken_over: has_marker && step.action == Action::Adopt,
            problem,
        }
    }
}

impl Report {
    /// A result that holds nothing but problems with the files.
    pub(crate) fn of_problems(problems: Vec<FileProblem>) -> Self {
        Self::new(Vec::new(), problems, Outcome::Failed)
    }

    /// Counts, and says `changed` unless there is nothing to do or something is wrong.
    pub(crate) fn new(bindings: Vec<BindingReport>, problems: Vec<FileProblem>, changed: Outcome) -> Self {
        let mut summary = Summary { problems: problems.len(), ..Summary::default() };
        for object in bindings.iter().flat_map(|binding| &binding.objects) {
            *match object.action {
                Verb::Keep => &mut summary.unchanged,
                Verb::Create => &mut summary.create,
                Verb::Update => &mut summary.update,
                Verb::TakeOver => &mut summary.take_over,
                Verb::None => &mut summary.problems,
            } += 1;
        }
        let outcome = if summary.problems > 0 {
            Outcome::Failed
        } else if summary.create + summary.update + summary.take_over == 0 {
            Outcome::Unchanged
        } else {
            changed
        };
        Self { outcome, summary, bindings, problems }
    }
}
