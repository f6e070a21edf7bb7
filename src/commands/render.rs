//! A report as text: a diff, field by field, with `+` create, `~` update, `=` take over and `!` problem. Colours are
//! left out where the output is no terminal.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::files::FileProblem;
use super::report::{BindingReport, ObjectReport, Origin, Outcome, Report, Summary, Verb};
use crate::sync::Change;
use crate::sync::diff::ABSENT;

const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const CYAN: Style = AnsiColor::Cyan.on_default();
const RED: Style = AnsiColor::Red.on_default();
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// How much is told of each object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Every field, for who is about to decide.
    Fields,
    /// One line each, for what was done.
    Objects,
}

/// What the bindings of a report would change, or have changed.
pub(crate) fn diff(report: &Report, detail: Detail) -> String {
    let mut out = String::new();
    for binding in &report.bindings {
        // Writing to a string cannot fail.
        let _ = write_binding(&mut out, binding, detail);
    }
    out
}

/// What is wrong with a file or a binding.
pub(crate) fn problem(problem: &FileProblem) -> String {
    format!("{RED}!{RED:#} {problem}")
}

/// The summary.
pub(crate) fn sentence(report: &Report, detail: Detail) -> String {
    format!("{BOLD}{}{BOLD:#}", summary(report.outcome, report.summary, detail))
}

fn write_binding(out: &mut String, binding: &BindingReport, detail: Detail) -> std::fmt::Result {
    let BindingReport { namespace, name, vault, from_environment, objects } = binding;
    writeln!(out, "{BOLD}VaultJwtBinding {namespace}/{name}{BOLD:#} {DIM}→ {vault}{DIM:#}")?;
    for Origin { field, variable } in from_environment {
        writeln!(out, "  {DIM}{field} is the variable {variable}{DIM:#}")?;
    }
    for object in objects.iter().filter(|object| object.action != Verb::Keep) {
        write_object(out, object, detail)?;
    }
    match objects.iter().filter(|object| object.action == Verb::Keep).count() {
        0 => {}
        1 => writeln!(out, "  {DIM}1 object is as it should be{DIM:#}")?,
        kept => writeln!(out, "  {DIM}{kept} objects are as they should be{DIM:#}")?,
    }
    writeln!(out)
}

fn write_object(out: &mut String, object: &ObjectReport, detail: Detail) -> std::fmt::Result {
    let (mark, style) = match object.action {
        Verb::Keep => (' ', DIM),
        Verb::Create => ('+', GREEN),
        Verb::Update => ('~', YELLOW),
        Verb::TakeOver => ('=', CYAN),
        Verb::None => ('!', RED),
    };
    write!(out, "  {style}{mark} {} {}{style:#}", object.kind, object.path)?;
    if let Some(problem) = &object.problem {
        return writeln!(out, ": {problem}");
    }
    match object.action {
        Verb::TakeOver => out.push_str(": is equal, and gets its marker"),
        Verb::Update if object.taken_over => out.push_str(": carries no marker, and is taken over"),
        Verb::Update if detail == Detail::Objects => {
            let fields: Vec<&str> = object.changes.iter().map(|change| change.field.as_str()).collect();
            write!(out, ": {}", fields.join(", "))?;
        }
        _ => {}
    }
    writeln!(out)?;
    if detail == Detail::Objects {
        return Ok(());
    }
    for Change { field, expected, found } in &object.changes {
        if found == ABSENT {
            writeln!(out, "      {field}: {GREEN}{expected}{GREEN:#}")?;
        } else {
            writeln!(out, "      {field}: {RED}{found}{RED:#} → {GREEN}{expected}{GREEN:#}")?;
        }
    }
    Ok(())
}

fn summary(outcome: Outcome, summary: Summary, detail: Detail) -> String {
    let Summary { create, update, take_over, unchanged, problems } = summary;
    let words = match detail {
        Detail::Fields => ["to create", "to update", "to take over"],
        Detail::Objects => ["created", "updated", "taken over"],
    };
    let parts = [(create, words[0]), (update, words[1]), (take_over, words[2]), (unchanged, "unchanged")];
    let counts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let counts = counts.join(", ");
    match outcome {
        Outcome::Unchanged => "Nothing to do: Vault is as the files say.".to_owned(),
        Outcome::Changes => format!("Plan: {counts}."),
        Outcome::Applied => format!("Applied: {counts}."),
        Outcome::Failed => {
            let noun = if problems == 1 { "problem" } else { "problems" };
            let rest = if counts.is_empty() { String::new() } else { format!("; of the rest {counts}") };
            format!("{problems} {noun}{rest}.")
        }
    }
}
