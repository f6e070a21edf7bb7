//! Names that become part of a Vault path. Each type is made only by its checked constructor; a name that does not
//! pass is rejected and never cleaned.

use std::fmt;

/// Why a name cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {problem}")]
pub struct NameError {
    /// The name, as it was given.
    pub text: String,
    /// What it must be.
    pub problem: &'static str,
}

const SEGMENT: &str = "must consist of letters, digits, '_', '-' and '.', must begin and end with a letter, a digit or '_', \
    and must not contain '..'";
const LOWER: &str = "must be lower case: Vault lower-cases this name, so two spellings would be one object";

/// One path segment: `[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?` without `..`, at most 128 bytes.
fn check_segment(text: &str) -> Result<(), &'static str> {
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let bytes = text.as_bytes();
    let ends = bytes.first().copied().is_some_and(word) && bytes.last().copied().is_some_and(word);
    if !ends || !bytes.iter().all(|&c| word(c) || c == b'.' || c == b'-') || text.contains("..") {
        return Err(SEGMENT);
    }
    if bytes.len() > 128 {
        return Err("must be at most 128 characters long");
    }
    Ok(())
}

fn check_path(text: &str) -> Result<(), &'static str> {
    if text.len() > 512 {
        return Err("must be at most 512 characters long");
    }
    if text.starts_with('/') || text.ends_with('/') {
        return Err("must not begin or end with '/'");
    }
    text.split('/').try_for_each(check_segment)
}

fn check_lower(text: &str) -> Result<(), &'static str> {
    if text.bytes().any(|c| c.is_ascii_uppercase()) { Err(LOWER) } else { Ok(()) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Checks the name.
            ///
            /// # Errors
            /// When it cannot be part of a Vault path as it is.
            pub fn new(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), &'static str> = $check;
                check(text)
                    .map(|()| Self(text.to_owned()))
                    .map_err(|problem| NameError { text: text.chars().take(128).collect(), problem })
            }

            /// The name as it goes into a path.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The path of a mount, without a final `/`: one or more segments.
    MountPath,
    check_path
);
name!(
    /// The name of a role: one lower-case segment.
    RoleName,
    |text| check_segment(text).and_then(|()| check_lower(text))
);
name!(
    /// The name of a policy: one lower-case segment, and none of Vault's own.
    PolicyName,
    |text| {
        check_segment(text).and_then(|()| check_lower(text))?;
        match text {
            "root" => Err("must not be 'root': that policy may do everything"),
            "default" | "response-wrapping" | "control-group" => Err("must not be one of Vault's own policies"),
            _ => Ok(()),
        }
    }
);
name!(
    /// The logical path of a KV secret below its mount: without the `data/` that KV version 2 adds in its API.
    KvPath,
    |text| {
        check_path(text)?;
        match text.split('/').next() {
            Some("data" | "metadata") => Err(
                "must be the logical path, without 'data/' or 'metadata/': KV version 2 adds that itself, and the \
                 secret would land under 'data/data/'; leave it out",
            ),
            _ => Ok(()),
        }
    }
);
