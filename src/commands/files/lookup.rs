//! References without a cluster: first in the files, then in the environment, where the key `token` of the Secret
//! `tfc-token` is `TFC_TOKEN_TOKEN`. What a binding writes to Vault never comes from the command's own settings: the key
//! `token` of a Secret `vault` is not `VAULT_TOKEN`.

use std::ffi::OsString;

use secrecy::SecretSlice;

use super::Resources;
use super::resources::Data;
use crate::api::VaultJwtBindingSpec;
use crate::api::references::{CaKind, CaRef};
use crate::desired::{Lookup, Reference, References, references};

/// The variables that begin so hold the command's own settings, of which one is a person's Vault token.
const OWN_SETTINGS: [&str; 2] = ["VAULT_", "VJO_"];

/// What a reference is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To talk to Vault.
    Connection,
    /// To be written to Vault.
    Binding,
}

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
        let found = |reference| (self.find(namespace, &reference, Purpose::Binding), reference);
        references(spec).into_iter().map(found).map(|(lookup, reference)| (reference, lookup)).collect()
    }

    /// What to do about the missing reference in a field of a binding.
    #[must_use]
    pub fn remedy_of(&self, namespace: &str, spec: &VaultJwtBindingSpec, field: &str) -> Option<String> {
        let (_, reference) = fields(spec).into_iter().find(|(path, _)| path == field)?;
        Some(self.remedy(namespace, &reference, Purpose::Binding))
    }

    /// The fields of a binding whose values come from the environment, with their variables.
    #[must_use]
    pub fn from_environment(&self, namespace: &str, spec: &VaultJwtBindingSpec) -> Vec<(String, String)> {
        let is_variable = |reference: &Reference| {
            self.value(namespace, reference).is_none()
                && matches!(self.find(namespace, reference, Purpose::Binding), Lookup::Found(_))
        };
        let found = fields(spec).into_iter().filter(|(_, reference)| is_variable(reference));
        found.map(|(field, reference)| (field, variable(&reference.name, &reference.key))).collect()
    }

    /// Looks up one reference.
    #[must_use]
    pub fn find(&self, namespace: &str, reference: &Reference, purpose: Purpose) -> Lookup {
        if let Some(value) = self.value(namespace, reference) {
            return Lookup::Found(value.clone());
        }
        let variable = variable(&reference.name, &reference.key);
        let value = if may_use(&variable, purpose) { (self.environment)(&variable) } else { None };
        // An empty variable is what a pipeline gives for a secret that it does not have.
        match value.filter(|value| !value.is_empty()) {
            Some(value) => Lookup::Found(value.into_encoded_bytes().into()),
            None if self.data(namespace, reference).is_some() => Lookup::NoKey,
            None => Lookup::NoObject,
        }
    }

    fn data(&self, namespace: &str, reference: &Reference) -> Option<&Data> {
        match reference.kind {
            CaKind::Secret => self.resources.secret(namespace, &reference.name),
            CaKind::ConfigMap => self.resources.config_map(namespace, &reference.name),
        }
    }

    /// The value in the files.
    fn value(&self, namespace: &str, reference: &Reference) -> Option<&SecretSlice<u8>> {
        self.data(namespace, reference)?.get(&reference.key)
    }

    /// What to do when a reference is missing.
    #[must_use]
    pub fn remedy(&self, namespace: &str, reference: &Reference, purpose: Purpose) -> String {
        let Reference { kind, name, key } = reference;
        let variable = variable(name, key);
        if !may_use(&variable, purpose) {
            return format!(
                "add {kind:?} {namespace}/{name} with key '{key}' to the files; the variable {variable} is not used for \
                 it, since VAULT_* and VJO_* are the settings of this command"
            );
        }
        let empty = if (self.environment)(&variable).is_some() { ", which is set but empty" } else { "" };
        format!("add {kind:?} {namespace}/{name} with key '{key}' to the files, or set the variable {variable}{empty}")
    }
}

fn may_use(variable: &str, purpose: Purpose) -> bool {
    purpose == Purpose::Connection || !OWN_SETTINGS.iter().any(|prefix| variable.starts_with(prefix))
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
