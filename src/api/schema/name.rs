//! Names. Those that become part of a Vault path follow `api::names`, which is asked again before a path is made.

use serde_json::Value;

use super::super::names::{KvPath, MountPath, PolicyName, RoleName};
use super::rule::{forbidden, matches, rule, schema, schema_of, text};

const LOWER_SEGMENT: &str = "[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?";
const LOWER_MESSAGE: &str = "must consist of lower-case letters, digits, '_', '-' and '.', and must begin and end with a \
    letter, a digit or '_': Vault lower-cases this name, so two spellings would be one object";
const PATH: &str = r"^\w([\w.-]*\w)?(/\w([\w.-]*\w)?)*$";
const PATH_MESSAGE: &str = "must consist of segments of letters, digits, '_', '-' and '.', each beginning and ending with a \
    letter, a digit or '_', with one '/' between them and none at the ends";
const ROOT: &str = "must not be 'root': that policy may do everything";

pub(super) fn no_dots() -> Value {
    rule("!self.contains('..')", "must not contain '..'")
}

fn segment() -> Value {
    rule(matches(&format!("^{LOWER_SEGMENT}$")), LOWER_MESSAGE)
}

/// The path of the hand-run script: `data/` in a logical path.
pub(super) fn logical() -> Value {
    let mut logical = rule(
        "!(self in ['data', 'metadata'] || self.startsWith('data/') || self.startsWith('metadata/'))",
        "must be the logical path, without 'data/' or 'metadata/': KV version 2 adds that itself",
    );
    // The static message stays for a reader that knows no messageExpression, and for `data` alone.
    logical["messageExpression"] = Value::from(
        "self.contains('/') ? \"must be the logical path, without 'data/' or 'metadata/': KV version 2 adds that itself; \
         write '\" + self.substring(self.indexOf('/') + 1) + \"'\" : \"must not be '\" + self + \"': KV version 2 uses that \
         name itself\"",
    );
    logical
}

schema_of!(RoleName => text(128, [segment(), no_dots()]));
schema_of!(PolicyName => text(128, [
    segment(),
    no_dots(),
    forbidden("self != 'root'", ROOT),
    forbidden("!(self in ['default', 'response-wrapping', 'control-group'])", "must not be one of Vault's own policies"),
]));
schema_of!(MountPath => text(512, [rule(matches(PATH), PATH_MESSAGE), no_dots()]));
schema_of!(KvPath => text(512, [rule(matches(PATH), PATH_MESSAGE), no_dots(), logical()]));

/// A name, or the beginning of one before a final `*`.
fn pattern() -> Value {
    rule(
        matches(r"^([a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|([a-z0-9_][a-z0-9_.-]*)?\*)$"),
        "must be a name of lower-case letters, digits, '_', '-' and '.', or the beginning of one with '*' as the last \
         character",
    )
}

schema! {
    /// A policy that a token may carry: `default` too, `root` never.
    AttachedPolicy => text(128, [
        segment(),
        no_dots(),
        forbidden("self.trim().lowerAscii() != 'root'", ROOT),
        forbidden("!(self in ['response-wrapping', 'control-group'])", "must not be one of Vault's own policies"),
    ]);
    /// Names of roles in a grant.
    NamePattern => text(128, [pattern(), no_dots()]);
    /// Names of policies in a grant.
    PolicyPattern => text(128, [pattern(), no_dots(), forbidden("self.trim().lowerAscii() != 'root'", ROOT)]);
    /// The name of a Kubernetes object.
    ObjectName => text(253, [rule(
        matches(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
        "must be the name of an object: lower-case letters, digits, '-' and '.', beginning and ending with a letter or a \
         digit",
    )]);
    /// The name of a namespace.
    Namespace => text(63, [rule(
        matches("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
        "must be the name of a namespace: lower-case letters, digits and '-', beginning and ending with a letter or a digit",
    )]);
    /// A key in the data of a Secret or ConfigMap.
    DataKey => text(253, [rule(
        format!("{} && !self.startsWith('..')", matches("^[-._a-zA-Z0-9]+$")),
        "must be a key of its data: letters, digits, '-', '_' and '.'",
    )]);
    /// A key of a KV secret.
    KvKey => text(253, [rule(
        matches("^[A-Za-z0-9_./:@-]+$"),
        "must consist of letters, digits and the characters '_', '-', '.', '/', ':' and '@'",
    )]);
    /// The name in a certificate.
    HostName => text(253, [rule(
        matches(r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"),
        "must be a host name or an IPv4 address, without a port",
    )]);
    /// A namespace of Vault Enterprise.
    VaultNamespace => text(256, [rule(matches(PATH), PATH_MESSAGE), no_dots()]);
    /// The name of an HTTP header.
    HeaderName => text(64, [rule(
        matches("^[A-Za-z0-9-]+$"),
        "must be the name of an HTTP header: letters, digits and '-'",
    )]);
}
