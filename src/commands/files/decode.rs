//! Strict decoding: unknown fields and values are refused, with the path of the field, the line and the next step.

use std::cell::RefCell;

use serde::{Deserialize, Deserializer};
use serde_ignored::Path;

/// What is wrong with a document.
pub(super) struct Fault {
    /// The path of the field.
    pub field: Option<String>,
    /// The line in the document, from 1 on.
    pub line: Option<usize>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Fault {
    pub(super) fn at(field: &str, message: &str) -> Self {
        Self { field: Some(field.to_owned()), line: None, message: message.to_owned() }
    }

    /// The same fault in words that quote nothing of the document: parsers quote what they cannot use.
    pub(super) fn without_content(self) -> Self {
        let message = if self.message.starts_with(UNKNOWN) {
            self.message
        } else {
            "cannot be read: `data` must map keys to base64 strings, `stringData` and a ConfigMap's `data` to plain \
             strings; quote numbers and booleans"
                .to_owned()
        };
        Self { message, ..self }
    }
}

const UNKNOWN: &str = "unknown field";

/// Takes control characters out of what is shown, and cuts it.
pub(super) fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}

/// What is wrong with a document that is no YAML.
pub(super) fn syntax(error: &serde_yaml::Error) -> Fault {
    let location = error.location();
    let place = location.as_ref().map(|at| format!(" at line {} column {}", at.line(), at.column()));
    let text = error.to_string();
    let bare = place.as_deref().and_then(|place| text.find(place).map(|at| &text[..at])).unwrap_or(&text);
    let column = location.as_ref().map(|at| format!("column {}: ", at.column())).unwrap_or_default();
    Fault {
        field: None,
        line: location.map(|at| at.line()),
        message: format!("{column}malformed YAML: {}; mind the indentation and quote special characters", clean(bare)),
    }
}

/// Decodes one object and refuses what its type does not know.
pub(super) fn strict<'de, T, D>(decoder: D, text: Option<&str>, prefix: &str) -> Result<T, Vec<Fault>>
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
    let decoded = serde_path_to_error::deserialize(serde_ignored::Deserializer::new(decoder, &mut note));
    let mut faults: Vec<Fault> = unknown.into_inner().iter().map(|path| unknown_field(path, text, prefix)).collect();
    match decoded {
        Ok(object) if faults.is_empty() => Ok(object),
        Ok(_) => Err(faults),
        Err(error) => {
            let path = error.path().to_string();
            faults.push(wrong_value(&path, error.inner(), prefix));
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
        message: format!("{UNKNOWN}; remove it or correct its name (`kubectl explain` lists the fields{place})"),
    }
}

fn wrong_value(path: &str, error: &serde_yaml::Error, prefix: &str) -> Fault {
    let text = error.to_string();
    let mut message = text.as_str();
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
    Fault {
        field: Some(format!("{prefix}{path}")).filter(|_| path != "."),
        line: error.location().map(|at| at.line()),
        message: clean(message).replace('`', "'"),
    }
}

/// The line of a field, when only one line of the document has a key of this name.
fn only_line_of(path: &str, text: &str) -> Option<usize> {
    let key = path.rsplit('.').next()?;
    let has_key = |line: &str| {
        let line = line.trim_start().trim_start_matches("- ").trim_start().trim_start_matches(['"', '\'']);
        line.strip_prefix(key).is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
    };
    let mut lines = text.lines().enumerate().filter(|(_, line)| has_key(line));
    let (number, _) = lines.next()?;
    lines.next().is_none().then_some(number + 1)
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
