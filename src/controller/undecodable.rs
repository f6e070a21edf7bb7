//! Objects that this version cannot decode, e.g. stored under an older schema: their status says so, and the watch goes
//! on for all others. A binding that is being deleted needs little of its spec, and is not held up by the rest.

use std::borrow::Cow;

use kube::Client;
use kube::core::error_boundary::InvalidObject;
use kube::core::{NamespaceResourceScope, ObjectMeta, Resource};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, json};

use super::cluster;
use super::conditions::{self, Draft};
use crate::api::VaultJwtBinding;
use crate::api::conditions::{Condition, ConditionStatus, ConditionType, Reason};

/// A binding, or what is left of it when it cannot be decoded and is being deleted: how to delete it, and what it owns.
#[derive(Clone, Debug)]
pub(crate) struct Salvaged(pub(crate) VaultJwtBinding);

impl<'de> Deserialize<'de> for Salvaged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Value::deserialize(deserializer)?;
        let whole = VaultJwtBinding::deserialize(&raw);
        whole.or_else(|error| salvage(&raw).ok_or(error)).map(Self).map_err(de::Error::custom)
    }
}

fn salvage(raw: &Value) -> Option<VaultJwtBinding> {
    let (metadata, spec, status) = (&raw["metadata"], &raw["spec"], &raw["status"]);
    if metadata["deletionTimestamp"].is_null() {
        return None;
    }
    let mut needed = json!({"connectionRef": spec["connectionRef"], "auth": {"mount": spec["auth"]["mount"]}});
    if !spec["deletionPolicy"].is_null() {
        needed["deletionPolicy"] = spec["deletionPolicy"].clone();
    }
    let with = |spec: &Value, status: &Value| {
        let object = json!({
            "apiVersion": raw["apiVersion"], "kind": raw["kind"], "metadata": metadata, "spec": spec, "status": status,
        });
        VaultJwtBinding::deserialize(&object).ok()
    };
    let record = json!({"managedObjects": status["managedObjects"]});
    let salvaged = with(&needed, status).or_else(|| with(&needed, &record));
    // To let go nothing has to be known.
    let orphan = || {
        let nothing =
            json!({"connectionRef": {"name": "unknown"}, "auth": {"mount": "unknown"}, "deletionPolicy": "Orphan"});
        with(&nothing, &record).or_else(|| with(&nothing, &Value::Null))
    };
    salvaged.or_else(|| (spec["deletionPolicy"] == "Orphan").then(orphan)?)
}

impl Resource for Salvaged {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        VaultJwtBinding::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        VaultJwtBinding::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        VaultJwtBinding::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        VaultJwtBinding::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}

/// Reports an object, in a task of its own.
pub(crate) fn report<K>(client: &Client, invalid: InvalidObject)
where
    K: Resource<DynamicType = ()> + Send + Sync + 'static,
{
    let client = client.clone();
    tokio::spawn(async move {
        let ObjectMeta { name, namespace, .. } = &invalid.metadata;
        tracing::warn!(kind = %K::kind(&()), namespace, name, error = invalid.error, "Object cannot be decoded");
        if let Err(error) = write::<K>(&client, &invalid).await {
            tracing::warn!(kind = %K::kind(&()), namespace, name, %error, "Status was not written");
        }
    });
}

/// Writes the conditions and leaves the rest of the status: the record of what is owned must not be lost.
async fn write<K>(client: &Client, invalid: &InvalidObject) -> Result<(), cluster::ClusterError>
where
    K: Resource<DynamicType = ()>,
{
    let Some(object) = cluster::get_raw::<K>(client, &invalid.metadata).await? else { return Ok(()) };
    let mut message = format!("This version of the operator cannot decode the object: {}; correct it", invalid.error);
    if invalid.metadata.deletion_timestamp.is_some() {
        message.push_str(", or set deletionPolicy: Orphan to let go of what it made");
    }
    let draft = |type_, status| Draft::new(type_, status, Reason::Undecodable, message.clone());
    let drafts =
        vec![draft(ConditionType::Ready, ConditionStatus::False), draft(ConditionType::Stalled, ConditionStatus::True)];
    let generation = object.metadata.generation.unwrap_or_default();
    let mut status = object.data["status"].clone();
    let standing: Vec<Condition> = serde_json::from_value(status["conditions"].clone()).unwrap_or_default();
    let conditions = conditions::merge(&standing, drafts, generation, conditions::now());
    if conditions == standing && status["observedGeneration"] == generation {
        return Ok(());
    }
    status["observedGeneration"] = json!(generation);
    status["conditions"] = json!(conditions);
    cluster::write_status::<K>(client, &object.metadata, &status).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::binding::DeletionPolicy;

    fn raw(spec: &Value, deleting: bool) -> Value {
        let deletion = deleting.then_some("2026-01-02T00:00:00Z");
        json!({
            "apiVersion": "vault.badal.io/v1alpha1", "kind": "VaultJwtBinding",
            "metadata": {"name": "b", "namespace": "ns", "uid": "u", "deletionTimestamp": deletion},
            "spec": spec,
            "status": {"managedObjects": [{"kind": "Role", "path": "jwt/r", "state": "Created"}]},
        })
    }

    #[test]
    fn a_binding_that_is_deleted_keeps_what_is_needed_for_that() {
        let broken = |policy: &str| json!({"connectionRef": {"name": "main"}, "auth": {"mount": "jwt"}, "drift": 7, "deletionPolicy": policy});
        let Salvaged(binding) = Salvaged::deserialize(raw(&broken("Delete"), true)).unwrap();
        assert_eq!(binding.spec.connection_ref.name, "main");
        assert_eq!(binding.status.unwrap().managed_objects[0].path, "jwt/r");
        let Salvaged(binding) = Salvaged::deserialize(raw(&broken("Orphan"), true)).unwrap();
        assert_eq!(binding.spec.deletion_policy, DeletionPolicy::Orphan);
        // Who can tell what was meant.
        assert!(Salvaged::deserialize(raw(&broken("Keep"), true)).is_err());
        assert!(Salvaged::deserialize(raw(&broken("Delete"), false)).is_err());
        let Salvaged(binding) = Salvaged::deserialize(raw(&json!({"deletionPolicy": "Orphan"}), true)).unwrap();
        assert_eq!(binding.spec.deletion_policy, DeletionPolicy::Orphan);
        assert!(Salvaged::deserialize(raw(&json!({"drift": 7}), true)).is_err());
    }
}
