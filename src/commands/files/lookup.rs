//! References without a cluster: first in the files, then in the environment, where the key `token` of the Secret
//! `tfc-token` is `TFC_TOKEN_TOKEN`.

use std::ffi::OsString;

use super::Resources;
use crate::api::VaultJwtBindingSpec;
use crate::api::references::CaKind;
use crate::desired::{Lookup, Reference, References, references};

/// Where references are looked up.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// What the files hold.
    pub resources: &'a Resources,
    /// A variable of the environment.
    pub environment: &'a (dyn Fn(&str) -> Option<OsString> + Sync),
}

impl Sources<'_> {
    /// Looks up all references of a binding, and says what to do about each that is missing.
    #[must_use]
    pub fn resolve(&self, namespace: &str, spec: &VaultJwtBindingSpec) -> (References, Vec<String>) {
        let mut missing = Vec::new();
        let found = references(spec).into_iter().map(|reference| {
            let lookup = self.find(namespace, &reference);
            if !matches!(lookup, Lookup::Found(_)) {
                missing.push(self.remedy(namespace, &reference));
            }
            (reference, lookup)
        });
        (found.collect(), missing)
    }

    /// Looks up one reference.
    #[must_use]
    pub fn find(&self, namespace: &str, reference: &Reference) -> Lookup {
        let Reference { kind, name, key } = reference;
        let data = match kind {
            CaKind::Secret => self.resources.secret(namespace, name),
            CaKind::ConfigMap => self.resources.config_map(namespace, name),
        };
        if let Some(value) = data.and_then(|data| data.get(key)) {
            return Lookup::Found(value.clone());
        }
        // An empty variable is what a pipeline gives for a secret that it does not have.
        match (self.environment)(&variable(name, key)).filter(|value| !value.is_empty()) {
            Some(value) => Lookup::Found(value.into_encoded_bytes().into()),
            None if data.is_some() => Lookup::NoKey,
            None => Lookup::NoObject,
        }
    }

    /// What to do when a reference is missing.
    #[must_use]
    pub fn remedy(&self, namespace: &str, reference: &Reference) -> String {
        let Reference { kind, name, key } = reference;
        let variable = variable(name, key);
        let empty = if (self.environment)(&variable).is_some() { ", which is set but empty" } else { "" };
        format!("add {kind:?} {namespace}/{name} with key '{key}' to the files, or set the variable {variable}{empty}")
    }
}

/// The variable for a key of an object: both names in upper case, every other character as `_`.
fn variable(name: &str, key: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("{name}_{key}").chars().map(upper).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_named_after_object_and_key() {
        assert_eq!(variable("tfc-token", "token"), "TFC_TOKEN_TOKEN");
        assert_eq!(variable("vault-ca", "ca.crt"), "VAULT_CA_CA_CRT");
    }
}
