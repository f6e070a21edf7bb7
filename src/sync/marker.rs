//! Whose object it is, written where Vault has a place for it: a comment in a policy, custom metadata of a KV secret.
//! The marker names cluster, namespace and binding and not the uid, so that a restored cluster takes its own back.

use std::collections::BTreeMap;
use std::fmt;

use super::diff::{ABSENT, Change};

const COMMENT: &str = "# Managed by vault-jwt-operator for ";
/// The custom metadata key that marks a whole secret; with `/<key>` behind it, one key of a secret.
const METADATA: &str = "vault-jwt-operator";

/// The binding that owns an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// The cluster, by default the uid of its `kube-system` namespace.
    pub cluster: String,
    /// The namespace of the binding.
    pub namespace: String,
    /// The name of the binding.
    pub name: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.cluster, self.namespace, self.name)
    }
}

/// What a marker says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marked<'a> {
    /// There is none.
    Nobody,
    /// It names this binding.
    Ours,
    /// It names another one, so.
    Other(&'a str),
}

impl Owner {
    fn judge<'a>(&self, marker: Option<&'a str>) -> Marked<'a> {
        match marker {
            None => Marked::Nobody,
            Some(text) if text == self.to_string() => Marked::Ours,
            Some(text) => Marked::Other(text),
        }
    }

    /// The difference that it makes when the marker is missing, or another binding's.
    pub(crate) fn mark(&self, marked: Marked<'_>) -> Change {
        let found = if matches!(marked, Marked::Other(_)) { "another binding's" } else { ABSENT };
        Change { field: "marker".to_owned(), expected: self.to_string(), found: found.to_owned() }
    }

    /// The policy's text with the marker as its first line.
    pub(crate) fn sign_policy(&self, body: &str) -> String {
        format!("{COMMENT}{self}\n{body}")
    }

    /// Splits a policy's text into what its marker says and the text behind it.
    pub(crate) fn split_policy<'a>(&self, text: &'a str) -> (Marked<'a>, &'a str) {
        match text.strip_prefix(COMMENT).and_then(|rest| rest.split_once('\n')) {
            Some((owner, body)) => (self.judge(Some(owner.trim_end())), body),
            None => (Marked::Nobody, text),
        }
    }

    /// What the metadata of a KV secret says of one key, or of the whole secret.
    pub(crate) fn judge_kv<'a>(&self, metadata: &'a BTreeMap<String, String>, key: Option<&str>) -> Marked<'a> {
        self.judge(metadata.get(&kv_marker_key(key)).map(String::as_str))
    }

    /// The keys of a KV secret that its metadata mark as this binding's; none stands for the whole secret.
    pub(crate) fn marked_keys(&self, metadata: &BTreeMap<String, String>) -> Vec<Option<String>> {
        let ours = metadata.iter().filter(|(_, owner)| self.judge(Some(owner)) == Marked::Ours);
        let keys = ours.filter_map(|(name, _)| match name.strip_prefix(METADATA)? {
            "" => Some(None),
            rest => rest.strip_prefix('/').map(|key| Some(key.to_owned())),
        });
        keys.collect()
    }
}

/// The custom metadata key that marks one key of a secret, or the whole secret.
pub(crate) fn kv_marker_key(key: Option<&str>) -> String {
    key.map_or_else(|| METADATA.to_owned(), |key| format!("{METADATA}/{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner { cluster: "c".into(), namespace: "ns".into(), name: name.into() }
    }

    #[test]
    fn a_signed_policy_is_recognised_by_its_owner_only() {
        let text = owner("a").sign_policy("path \"x\" {}\n");
        assert_eq!(owner("a").split_policy(&text), (Marked::Ours, "path \"x\" {}\n"));
        assert_eq!(owner("b").split_policy(&text).0, Marked::Other("c/ns/a"));
        assert_eq!(owner("a").split_policy("path \"x\" {}\n"), (Marked::Nobody, "path \"x\" {}\n"));
    }
}
