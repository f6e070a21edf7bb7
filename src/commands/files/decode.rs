//! Strict decoding: unknown fields and values are refused, with the path of the field, the line and the next step.

use std::cell::RefCell;

use serde::{Deserialize, Deserializer};
use serde_ignored::Path;

/// What is wrong with a document.
pub(super) struct Fault {
    /// The path of the field.
    pub field: Option<String>,
    /// The line in the document and the column, both from 1 on.
    pub line: Option<usize>,
    pub column: Option<usize>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Fault {
    pub(super) fn at(field: &str, message: &str) -> Self {
        Self { field: Some(field.to_owned()), line: None, column: None, message: message.to_owned() }
    }

    /// The same fault in words that quote nothing of the document: parsers quote what they cannot use.
    pub(super) fn without_content(self) -> Self {
        let field = self.field.as_deref().unwrap_or_default();
        let of_data = ["data", "stringData", "binaryData"].iter().any(|data| field.contains(data));
        let message = if self.message.starts_with(UNKNOWN) {
            self.message
        } else if of_data {
            "cannot be read: a Secret's `data` and `binaryData` must map keys to base64 strings, `stringData` and a \
             ConfigMap's `data` to plain strings; quote numbers and booleans"
                .to_owned()
        } else {
            "has a value of the wrong type; `kubectl explain` tells the right one".to_owned()
        };
        Self { message, ..self }
    }
}

const UNKNOWN: &str = "unknown field";

/// Takes control characters out of what is shown, and cuts it.
pub(super) fn clean(text: &str) -> String {
    crate::sync::diff::cut(text)
}

/// What is wrong with a document that is no YAML.
pub(super) fn syntax(error: &serde_yaml::Error) -> Fault {
    let location = error.location();
    let place = location.as_ref().map(|at| format!(" at line {} column {}", at.line(), at.column()));
    let text = error.to_string();
    let bare = place.as_deref().and_then(|place| text.find(place).map(|at| &text[..at])).unwrap_or(&text);
    Fault {
        field: None,
        line: location.as_ref().map(serde_yaml::Location::line),
        column: location.as_ref().map(serde_yaml::Location::column),
        message: format!("malformed YAML: {}; mind the indentation and quote special characters", clean(bare)),
    }
}

/// Decodes one object and refuses what its type does not know.
pub(super) fn strict<'de, T, D>(source: D, text: Option<&str>, prefix: &str) -> Result<T, Vec<Fault>>
where
    T: Deserialize<'de>,
    D: Deserializer<'de, Error = serde_yaml::Error>,
{
    let unknown = RefCell::new(Vec::new());
    let mut note = |path: Path<'_>| {
        let path = dotted(&path);
        if path != "apiVersion" && path != "kind" {
            unknown.borrow_mut().push(path);
        }
    };
    let decoded = serde_path_to_error::deserialize(serde_ignored::Deserializer::new(source, &mut note));
    let mut faults: Vec<Fault> = unknown.into_inner().iter().map(|path| unknown_field(path, text, prefix)).collect();
    match decoded {
        Ok(object) if faults.is_empty() => Ok(object),
        Ok(_) => Err(faults),
        Err(error) => {
            let path = error.path().to_string();
            faults.push(wrong_value(&path, error.inner(), text, prefix));
            Err(faults)
        }
    }
}

fn unknown_field(path: &str, text: Option<&str>, prefix: &str) -> Fault {
    let parent = path.rsplit_once('.').map(|(parent, _)| parent).filter(|parent| !parent.is_empty());
    let place = parent.map(|parent| format!(" of `{parent}`")).unwrap_or_default();
    Fault {
        field: Some(format!("{prefix}{path}")),
        line: text.and_then(|text| only_line_of(path, text)),
        column: None,
        message: format!("{UNKNOWN}; remove it or correct its name (`kubectl explain` lists the fields{place})"),
    }
}

fn wrong_value(path: &str, error: &serde_yaml::Error, text: Option<&str>, prefix: &str) -> Fault {
    let whole = error.to_string();
    let mut message = whole.as_str();
    // The parser puts the path before the message and the place behind it; both are shown elsewhere.
    if let Some((first, rest)) = message.split_once(": ")
        && !first.contains(' ')
    {
        message = rest;
    }
    if let Some(at) = error.location()
        && let Some(end) = message.find(&format!(" at line {} column {}", at.line(), at.column()))
    {
        message = &message[..end];
    }
    let at = error.location();
    let line = at.as_ref().map(serde_yaml::Location::line).or_else(|| only_line_of(path, text?));
    let column = at.as_ref().map(serde_yaml::Location::column);
    let message = clean(&without_quote(message)).replace('`', "'");
    let path = if path == "." { "" } else { path };
    // What is missing is named as the field that it is.
    match message.strip_prefix("missing field '").and_then(|rest| rest.strip_suffix('\'')) {
        Some(name) => {
            let dot = if path.is_empty() { "" } else { "." };
            Fault { field: Some(format!("{prefix}{path}{dot}{name}")), line, column, message: "must be set".to_owned() }
        }
        None => Fault { field: Some(format!("{prefix}{path}")).filter(|path| !path.is_empty()), line, column, message },
    }
}

/// Leaves out the text that a parser found where it wanted something else: it may be a secret in the wrong place.
fn without_quote(message: &str) -> String {
    for kind in ["invalid type: string ", "invalid value: string "] {
        if let Some((_, expected)) = message.strip_prefix(kind).and_then(|rest| rest.rsplit_once("\", expected ")) {
            return format!("{}a string, expected {expected}", kind.trim_end_matches("string "));
        }
    }
    message.to_owned()
}

/// The line of a field, when the document has a key of this name only once.
fn only_line_of(path: &str, text: &str) -> Option<usize> {
    let key = path.rsplit('.').next().filter(|key| !key.is_empty())?;
    let keys_in = |line: &str| {
        let is_key = |at: usize| {
            let before = line[..at].chars().next_back().is_none_or(|c| c.is_whitespace() || "{,[\"'".contains(c));
            before && line[at + key.len()..].trim_start_matches(['"', '\'']).trim_start().starts_with(':')
        };
        line.match_indices(key).filter(|(at, _)| is_key(*at)).count()
    };
    let mut lines = text.lines().enumerate().filter(|(_, line)| keys_in(line) > 0);
    let (number, line) = lines.next()?;
    (lines.next().is_none() && keys_in(line) == 1).then_some(number + 1)
}

/// A path as people write it: `spec.roles[0].name`.
fn dotted(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", dotted(parent)),
        Path::Map { parent, key } => match dotted(parent).as_str() {
            "" => clean(key),
            parent => format!("{parent}.{}", clean(key)),
        },
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => dotted(parent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_named_only_when_it_is_sure() {
        let text = "a: {mount: x}\nb:\n- \"other\" : mount\n- same: 1\n- same: 2\n";
        for (path, line) in [("a.mount", Some(1)), ("b[0].other", Some(3)), ("b[1].same", None), ("no", None)] {
            assert_eq!(only_line_of(path, text), line, "{path}");
        }
    }
}
