//! References without a cluster: first in the files, then in the environment, where the key `token` of the Secret
//! `tfc-token` is `TFC_TOKEN_TOKEN`.

use std::ffi::OsString;

use super::Resources;
use crate::api::VaultJwtBindingSpec;
use crate::api::references::{CaKind, CaRef};
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
    /// Looks up all references of a binding.
    #[must_use]
    pub fn resolve(&self, namespace: &str, spec: &VaultJwtBindingSpec) -> References {
        let found = |reference| (self.find(namespace, &reference), reference);
        references(spec).into_iter().map(found).map(|(lookup, reference)| (reference, lookup)).collect()
    }

    /// What to do about the missing reference in a field of a binding.
    #[must_use]
    pub fn remedy_of(&self, namespace: &str, spec: &VaultJwtBindingSpec, field: &str) -> Option<String> {
        let (_, reference) = fields(spec).into_iter().find(|(path, _)| path == field)?;
        Some(self.remedy(namespace, &reference))
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

/// The references of a binding by the field that holds them.
fn fields(spec: &VaultJwtBindingSpec) -> Vec<(String, Reference)> {
    let mut fields = Vec::new();
    if let Some(config) = &spec.auth.config {
        let ca = |field: &str, ca: &CaRef| (format!("spec.auth.config.{field}"), Reference::from(ca));
        fields.extend(config.jwks_ca_ref.iter().map(|found| ca("jwksCaRef", found)));
        fields.extend(config.oidc_discovery_ca_ref.iter().map(|found| ca("oidcDiscoveryCaRef", found)));
        for (index, pair) in config.jwks_pairs.iter().enumerate() {
            fields.extend(pair.ca_ref.iter().map(|found| ca(&format!("jwksPairs[{index}].caRef"), found)));
        }
    }
    for (entry, kv) in spec.kv.iter().enumerate() {
        for (index, item) in kv.data.iter().enumerate() {
            fields.push((format!("spec.kv[{entry}].data[{index}].secretKeyRef"), (&item.secret_key_ref).into()));
        }
    }
    fields
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
