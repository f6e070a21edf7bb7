//! Field-level differences between the desired and the found state of one object. Both sides are in the same canonical
//! form, so equality is plain; secret values never enter a difference.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::desired::Fields;

/// Shown in place of a secret value.
pub const SENSITIVE: &str = "(sensitive)";
/// Shown for a field or a line that is not there.
pub const ABSENT: &str = "(absent)";
const SHOWN: usize = 256;

/// One field that differs, in Vault's name.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// The field.
    pub field: String,
    /// What the spec wants, cut to a readable length.
    pub expected: String,
    /// What Vault has, cut to a readable length.
    pub found: String,
}

/// The differences between two sets of fields, in the order of their names.
pub(crate) fn fields(expected: &Fields, found: &Fields) -> Vec<Change> {
    let names: BTreeSet<&str> = expected.keys().chain(found.keys()).copied().collect();
    names
        .into_iter()
        .filter(|name| expected.get(name) != found.get(name))
        .map(|name| Change { field: name.to_owned(), expected: show(expected.get(name)), found: show(found.get(name)) })
        .collect()
}

/// The fields that a new object gets, leaving out the empty ones.
pub(crate) fn created(expected: &Fields) -> Vec<Change> {
    expected
        .iter()
        .filter(|(_, value)| !is_empty(value))
        .map(|(name, value)| Change {
            field: (*name).to_owned(),
            expected: show(Some(value)),
            found: ABSENT.to_owned(),
        })
        .collect()
}

/// The differences between two texts, a changed line each. The shorter text's missing lines are shown as absent.
pub(crate) fn lines(expected: &str, found: Option<&str>) -> Vec<Change> {
    let theirs: Vec<&str> = found.unwrap_or_default().lines().collect();
    let ours: Vec<&str> = expected.lines().collect();
    let same_start = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
    let same_end =
        ours[same_start..].iter().rev().zip(theirs[same_start..].iter().rev()).take_while(|(a, b)| a == b).count();
    let ours = &ours[same_start..ours.len() - same_end];
    let theirs = &theirs[same_start..theirs.len() - same_end];
    let line = |lines: &[&str], i: usize| lines.get(i).map_or_else(|| ABSENT.to_owned(), |text| cut(text));
    let mut changes: Vec<Change> = (0..ours.len().max(theirs.len()))
        .map(|i| Change {
            field: format!("policy line {}", same_start + i + 1),
            expected: line(ours, i),
            found: line(theirs, i),
        })
        .collect();
    if changes.is_empty() && found != Some(expected) {
        changes.push(Change {
            field: "policy".to_owned(),
            expected: "as specified".to_owned(),
            found: "other white space at the ends".to_owned(),
        });
    }
    changes
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

fn show(value: Option<&Value>) -> String {
    match value {
        None => ABSENT.to_owned(),
        Some(Value::String(text)) if !text.is_empty() => cut(text),
        Some(other) => cut(&other.to_string()),
    }
}

/// Cuts a text to a readable length and takes control characters out, so that a value from Vault cannot play tricks
/// with a terminal.
pub(crate) fn cut(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = text.chars().take(SHOWN).map(clean).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_fields_that_differ_are_named() {
        let expected = Fields::from([("a", json!("x")), ("b", json!([])), ("c", json!(5))]);
        let found = Fields::from([("a", json!("x")), ("b", json!(["y"])), ("c", json!(5)), ("old", json!(1))]);
        let named: Vec<_> = fields(&expected, &found).into_iter().map(|c| (c.field, c.expected, c.found)).collect();
        assert_eq!(
            named,
            [("b".into(), "[]".into(), "[\"y\"]".into()), ("old".into(), ABSENT.into(), "1".into())]
                as [(String, String, String); 2]
        );
    }

    #[test]
    fn a_changed_line_is_shown_with_its_number() {
        let changes = lines("a\nb\nc\n", Some("a\nx\nc\n"));
        assert_eq!(changes.len(), 1);
        assert_eq!((changes[0].field.as_str(), changes[0].found.as_str()), ("policy line 2", "x"));
        assert_eq!(lines("a\n", Some("a\n")), []);
        assert_eq!(lines("a\n", Some("a")).len(), 1);
    }
}
