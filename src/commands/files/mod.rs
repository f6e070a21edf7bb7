//! What `-f PATH…` names: files, directories and standard input, as the resources that they hold. Either every document
//! is good, or nothing is done and every bad one is named. The content of a Secret never enters a message.

mod decode;
mod documents;
mod lookup;
mod resources;

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use lookup::{Purpose, Sources};
pub use resources::{Place, Resources};

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FileProblem {
    /// The file as it was named; `-` for standard input.
    pub file: String,
    /// The line, from 1 on; none when the file could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column, from 1 on, when it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The document in the file, from 1 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<usize>,
    /// The object in the document, as far as it could be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The path of the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl FileProblem {
    /// A problem of a file as a whole.
    #[must_use]
    pub fn of_file(file: String, message: String) -> Self {
        Self { file, line: None, column: None, document: None, object: None, field: None, message }
    }
}

impl Place {
    /// A problem of the object that is there.
    pub(crate) fn problem(&self, object: String, field: Option<String>, message: String) -> FileProblem {
        FileProblem {
            file: self.file.clone(),
            line: Some(self.line),
            column: None,
            document: Some(self.document),
            object: Some(object),
            field,
            message,
        }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        if let Some(document) = self.document {
            write!(f, ": document {document}")?;
        }
        if let Some(object) = &self.object {
            write!(f, ", {object}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ": {field}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Reads all files.
///
/// # Errors
/// All that is wrong with them.
pub fn load(paths: &[PathBuf]) -> Result<Resources, Vec<FileProblem>> {
    let mut resources = Resources::default();
    let mut problems = Vec::new();
    let mut standard_input_read = false;
    for path in paths {
        let files = match files_of(path) {
            Ok(files) => files,
            Err(problem) => {
                problems.push(FileProblem::of_file(shown(path), problem));
                continue;
            }
        };
        for file in files {
            if is_standard_input(&file) && std::mem::replace(&mut standard_input_read, true) {
                continue;
            }
            match read(&file) {
                Ok(text) => documents::read(&shown(&file), &text, &mut resources, &mut problems),
                Err(problem) => problems.push(FileProblem::of_file(shown(&file), problem)),
            }
        }
    }
    if problems.is_empty() { Ok(resources) } else { Err(problems) }
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn shown(path: &Path) -> String {
    if is_standard_input(path) { "standard input".to_owned() } else { path.display().to_string() }
}

/// The files that a path stands for: itself, or those of a directory, sorted, without its sub-directories.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, String> {
    if is_standard_input(path) || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |error| format!("cannot be read: {error}");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if matches!(extension, "yaml" | "yml" | "json") && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err("holds no .yaml, .yml or .json file; name another path".to_owned());
    }
    Ok(files)
}

fn read(file: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = if is_standard_input(file) {
        std::io::stdin().lock().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.map_err(|error| format!("cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("is not UTF-8 from byte {at} on; save it as UTF-8")
    })
}
