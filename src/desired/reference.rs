//! The Secrets and ConfigMaps that a spec refers to: which ones have to be looked up, and what was found. Only the
//! binding's own namespace; names that the apiserver would refuse are never looked up.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::{ExposeSecret, SecretSlice};

use crate::api::VaultJwtBindingSpec;
use crate::api::references::{CaKind, CaRef, SecretKeyRef};

use super::ProblemKind;
use super::check::Check;

/// One key of a Secret or `ConfigMap` in the binding's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// What kind of object.
    pub kind: CaKind,
    /// Its name.
    pub name: String,
    /// The key in its data.
    pub key: String,
}

/// What a look-up found.
#[derive(Clone)]
pub enum Lookup {
    /// The value of the key.
    Found(SecretSlice<u8>),
    /// No such Secret or `ConfigMap`.
    NoObject,
    /// The object is there, the key is not.
    NoKey,
    /// It could not be looked up, for this reason.
    Unreadable(String),
}

/// The result of each look-up. One that is missing here counts as [`Lookup::NoObject`].
pub type References = BTreeMap<Reference, Lookup>;

impl From<&SecretKeyRef> for Reference {
    fn from(reference: &SecretKeyRef) -> Self {
        Self { kind: CaKind::Secret, name: reference.name.clone(), key: reference.key.clone() }
    }
}

impl From<&CaRef> for Reference {
    fn from(reference: &CaRef) -> Self {
        Self { kind: reference.kind, name: reference.name.clone(), key: reference.key.clone() }
    }
}

/// What has to be looked up before [`super::desired`] can be called: CA bundles and KV values, not the login's.
#[must_use]
pub fn references(spec: &VaultJwtBindingSpec) -> BTreeSet<Reference> {
    let config = spec.auth.config.iter();
    let bundles = config.flat_map(|config| {
        let pairs = config.jwks_pairs.iter().filter_map(|pair| pair.ca_ref.as_ref());
        config.jwks_ca_ref.iter().chain(&config.oidc_discovery_ca_ref).chain(pairs).map(Reference::from)
    });
    let values = spec.kv.iter().flat_map(|entry| &entry.data).map(|item| Reference::from(&item.secret_key_ref));
    bundles.chain(values).filter(|reference| reference.check().is_ok()).collect()
}

impl Reference {
    /// The apiserver's rules for names and keys: what breaks them cannot exist, and must not become part of a URL.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !is_object_name(&self.name) {
            return Err(("name", "must be the name of an object: lower-case letters, digits, '-' and '.'"));
        }
        let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        if self.key.is_empty() || self.key.len() > 253 || !self.key.bytes().all(allowed) || self.key.starts_with("..") {
            return Err(("key", "must be a key of its data: letters, digits, '-', '_' and '.'"));
        }
        Ok(())
    }

    /// As a reader would look for it.
    fn described(&self) -> String {
        format!("{:?} '{}'", self.kind, self.name)
    }

    /// The value as text, or the problem that there is none.
    pub(super) fn resolve<'r>(
        &self,
        references: &'r References,
        field: &str,
        check: &mut Check<'_>,
    ) -> Option<&'r str> {
        if let Err((part, message)) = self.check() {
            check.invalid(format!("{field}.{part}"), message);
            return None;
        }
        let object = self.described();
        match references.get(self) {
            Some(Lookup::Found(value)) => {
                let text = std::str::from_utf8(value.expose_secret()).ok();
                if text.is_none() {
                    check.problem(
                        ProblemKind::ReferenceInvalid,
                        field,
                        format!(
                            "the value of key '{}' in {object} must be UTF-8 text: Vault stores JSON; put the text, or the \
                             value in base64, there",
                            self.key
                        ),
                    );
                }
                text
            }
            Some(Lookup::NoKey) => {
                let message = format!("{object} has no key '{}': add it, or name another key", self.key);
                check.problem(ProblemKind::ReferenceNotFound, field, message);
                None
            }
            Some(Lookup::Unreadable(why)) => {
                let message = format!("{object} could not be read: {why}");
                check.problem(ProblemKind::ReferenceNotFound, field, message);
                None
            }
            Some(Lookup::NoObject) | None => {
                let message =
                    format!("{object} does not exist in the binding's namespace: create it with key '{}'", self.key);
                check.problem(ProblemKind::ReferenceNotFound, field, message);
                None
            }
        }
    }
}

/// A DNS subdomain as of RFC 1123, the rule for names of Secrets, `ConfigMaps` and connections.
pub(super) fn is_object_name(name: &str) -> bool {
    let label = |label: &str| {
        let bytes = label.as_bytes();
        let word = |c: &u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        bytes.first().is_some_and(word) && bytes.last().is_some_and(word) && bytes.iter().all(|c| word(c) || *c == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}
