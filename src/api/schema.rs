//! The CustomResourceDefinitions: what the derives make of the types, completed with what they cannot say. The schema of
//! each kind of value is in the modules below; a field names its kind with `#[schemars(with = "…")]`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::{VaultConnection, VaultJwtBinding};

mod duration;
mod list;
mod name;
mod path;
mod rule;
mod text;
mod value;

pub(super) use duration::{
    ClockSkewLeeway, Interval, MissingTimeLeeway, Timeout, TokenLife, Ttl, at_most, is_positive,
};
pub(super) use list::{List, Set};
pub(super) use name::{
    AttachedPolicy, DataKey, HeaderName, HostName, KvKey, NamePattern, Namespace, ObjectName, PolicyPattern,
    VaultNamespace,
};
pub(super) use path::{DiscoveryUrl, Host, IssuerUrl, KvPattern, RulePath, VaultAddress};
pub(super) use rule::exactly_one;
pub(super) use text::{Address, Hcl, HeaderValue, JsonPointer, Labels, PublicKey, Text};
pub(super) use value::{ClaimScalar, JsonValue};

/// The definitions of both resources, as `crds` prints them and the files in `crds/` hold them.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    [VaultConnection::crd(), VaultJwtBinding::crd()].into_iter().map(completed).collect()
}

/// A definition as YAML. Texts that YAML 1.1 readers would take for something else (`yes`, `1:30`) are quoted.
///
/// # Errors
/// When the definition cannot be written as YAML.
pub fn yaml(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    // By way of a Value, whose maps are sorted: the file must not change with the order of a struct's fields.
    let value = serde_json::to_value(crd).unwrap_or_default();
    serde_saphyr::to_string(&value)
}

fn completed(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) else {
            continue;
        };
        let mut value = serde_json::to_value(&*schema).unwrap_or_default();
        complete(&mut value);
        // An object that the operator has not met yet must not look finished to kstatus.
        value["properties"]["status"]["default"] = json!({"observedGeneration": -1});
        if let Some(roles) = value.pointer_mut("/properties/spec/properties/roles/items") {
            roles["anyOf"] = globs_are_strings();
        }
        if let Ok(completed) = serde_json::from_value(value) {
            *schema = completed;
        }
    }
    crd
}

/// Vault refuses a glob that is no text. CEL does not see the values, so this says it with what OpenAPI has: numbers would
/// have to be above 1 and below 0, booleans none of the two there are.
fn globs_are_strings() -> Value {
    let text = json!({"minimum": 1, "maximum": 0, "not": {"enum": [true, false]}});
    json!([
        {"properties": {"boundClaimsType": {"enum": ["String"]}}},
        {"properties": {"boundClaims": {"items": {"properties": {"values": {"items": text}}}}}},
    ])
}

/// No `null` (a field is left out instead), a merge strategy for each list, a reason for each rule.
fn complete(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.remove("nullable");
            if fields.get("type").is_some_and(|kind| kind == "array") {
                fields.entry("x-kubernetes-list-type").or_insert_with(|| "atomic".into());
            }
            if fields.contains_key("rule") {
                fields.entry("reason").or_insert_with(|| "FieldValueInvalid".into());
            }
            fields.values_mut().for_each(complete);
        }
        Value::Array(items) => items.iter_mut().for_each(complete),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
