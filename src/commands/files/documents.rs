//! A file as its YAML documents. They are split before they are parsed, so that one that is malformed hides no other.

use serde::Deserialize;
use serde_yaml::Value;

use super::FileProblem;
use super::decode::{self, Fault};
use super::resources::{Place, Resources};
use crate::api::GROUP;

const API_VERSION: &str = "vault.badal.io/v1alpha1";

/// One document and the line of the file on which it begins, from 0 on.
struct Document<'a> {
    text: &'a str,
    first_line: usize,
}

/// Splits a text at the lines that begin with `---`. YAML forbids such a line inside any scalar, so this is exact.
fn split(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut first_line, mut at) = (0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let separator =
            line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if separator && at > start {
            documents.push(Document { text: &text[start..at], first_line });
            (start, first_line) = (at, number);
        }
        at += line.len();
    }
    documents.push(Document { text: &text[start..], first_line });
    documents.retain(|document| !document.text.lines().all(is_blank));
    documents
}

/// Whether a line holds nothing but white space, a comment, a directive or a document marker.
fn is_blank(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}').trim();
    line.is_empty() || line.starts_with(['#', '%']) || line == "---" || line == "..."
}

/// What says which kind of object a document or a list's item holds.
#[derive(Default)]
struct Header {
    api_version: String,
    kind: String,
    object: Option<String>,
}

impl Header {
    fn of(value: &Value) -> Self {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(decode::clean).unwrap_or_default();
        let kind = text(value.get("kind"));
        let metadata = value.get("metadata");
        let of_metadata = |name: &str| text(metadata.and_then(|metadata| metadata.get(name)));
        let (namespace, name) = (of_metadata("namespace"), of_metadata("name"));
        let object = match (kind.as_str(), namespace.as_str(), name.as_str()) {
            ("", _, _) => None,
            (_, _, "") => Some(kind.clone()),
            (_, "", _) => Some(format!("{kind} {name}")),
            _ => Some(format!("{kind} {namespace}/{name}")),
        };
        Self { api_version: text(value.get("apiVersion")), kind, object }
    }
}

/// Reads all documents of a file.
pub(super) fn read(file: &str, text: &str, resources: &mut Resources, problems: &mut Vec<FileProblem>) {
    for (index, document) in split(text).iter().enumerate() {
        let place = Place { file: file.to_owned(), line: document.first_content_line(), document: index + 1 };
        let report = |object: Option<String>, fault: Fault| FileProblem {
            file: file.to_owned(),
            line: Some(fault.line.map_or(place.line, |line| document.first_line + line)),
            column: fault.column,
            document: Some(index + 1),
            object,
            field: fault.field,
            message: fault.message,
        };
        match serde_yaml::from_str::<Value>(document.text) {
            Err(error) => problems.push(report(None, decode::syntax(&error))),
            Ok(value) => {
                let header = Header::of(&value);
                let source = Source { text: Some(document.text), value: &value, prefix: "" };
                for (object, fault) in source.take(&header, &place, resources) {
                    problems.push(report(object, fault));
                }
            }
        }
    }
}

impl Document<'_> {
    /// The first line that holds something, in the file, from 1 on.
    fn first_content_line(&self) -> usize {
        let blank = self.text.lines().take_while(|line| is_blank(line)).count();
        self.first_line + blank + 1
    }
}

/// Where an object is decoded from: the text, which knows its lines, or an item of a list.
struct Source<'a> {
    text: Option<&'a str>,
    value: &'a Value,
    prefix: &'a str,
}

type Faults = Vec<(Option<String>, Fault)>;

impl Source<'_> {
    fn take(&self, header: &Header, place: &Place, resources: &mut Resources) -> Faults {
        let object = header.object.clone();
        let refuse = |field: &str, message: &str| Err(vec![Fault::at(field, message)]);
        let taken = match (header.kind.as_str(), header.api_version.as_str()) {
            ("", _) => refuse("kind", "must be set; is this a Kubernetes object?"),
            (_, "") => refuse("apiVersion", "must be set"),
            ("VaultConnection", API_VERSION) => self.decode().and_then(|found| resources.add_connection(found, place)),
            ("VaultJwtBinding", API_VERSION) => self.decode().and_then(|found| resources.add_binding(found, place)),
            ("VaultConnection" | "VaultJwtBinding", other) => {
                refuse("apiVersion", &format!("'{other}' is not known here; must be '{API_VERSION}'"))
            }
            ("Secret", "v1") => self.decode_quietly().and_then(|found| resources.add_secret(found, place)),
            ("ConfigMap", "v1") => self.decode_quietly().and_then(|found| resources.add_config_map(found, place)),
            ("Namespace", "v1") => self.decode().and_then(|found| resources.add_namespace(found, place)),
            ("List", "v1") => return self.take_items(place, resources),
            (kind, version) => {
                let Some(right) = misspelt(kind, version) else {
                    resources.ignore(place, object.as_deref().unwrap_or_default());
                    return Vec::new();
                };
                refuse("kind", &format!("'{kind}' is not known; must be '{right}'"))
            }
        };
        let faults = taken.err().unwrap_or_default();
        faults.into_iter().map(|fault| (object.clone(), fault)).collect()
    }

    /// What `kubectl get -o yaml` prints for several objects.
    fn take_items(&self, place: &Place, resources: &mut Resources) -> Faults {
        let items = self.value.get("items").and_then(Value::as_sequence).map(Vec::as_slice).unwrap_or_default();
        let of = |(index, value)| {
            let prefix = format!("items[{index}].");
            Source { text: None, value, prefix: &prefix }.take(&Header::of(value), place, resources)
        };
        items.iter().enumerate().flat_map(of).collect()
    }

    fn decode<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Vec<Fault>> {
        if let Some(text) = self.text {
            decode::strict::<T, _>(serde_yaml::Deserializer::from_str(text), Some(text), self.prefix)?;
        }
        // The text knows the lines, but takes `5` for a string where one is wanted; the apiserver does not.
        decode::strict(self.value.clone(), self.text, self.prefix)
    }

    /// As [`Self::decode`], for content that no message may quote.
    fn decode_quietly<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Vec<Fault>> {
        self.decode().map_err(|faults| faults.into_iter().map(Fault::without_content).collect())
    }
}

/// The kind that is meant by a wrongly spelt one.
fn misspelt(kind: &str, version: &str) -> Option<&'static str> {
    let ours = ["VaultConnection", "VaultJwtBinding"];
    let core = ["Secret", "ConfigMap", "Namespace"];
    let of_group = version.split('/').next() == Some(GROUP);
    let same = |known: &&&str| known.eq_ignore_ascii_case(kind);
    let near = ours.iter().find(same).or_else(|| if version == "v1" { core.iter().find(same) } else { None });
    match near {
        Some(known) => Some(known),
        None if of_group => Some("VaultConnection' or 'VaultJwtBinding"),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_keep_the_lines_of_their_file() {
        let text = "# head\n---\na: 1\n---\n\n---  # three\nb: |\n  --- not a separator\n...\n";
        let found: Vec<_> = split(text).iter().map(|d| (d.first_line, d.first_content_line())).collect();
        assert_eq!(found, [(1, 3), (5, 6)]);
    }
}
