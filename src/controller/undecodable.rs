//! Objects that this version cannot decode, e.g. stored under an older schema: their status says so, and the watch goes
//! on for all others.

use kube::core::error_boundary::InvalidObject;
use kube::core::{ObjectMeta, PartialObjectMeta, PartialObjectMetaExt, Resource};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::cluster;
use super::conditions::{self, Draft};
use crate::api::conditions::{ConditionStatus, ConditionType, Reason};

/// Reports an object, in a task of its own.
pub(crate) fn report<K>(client: &Client, invalid: InvalidObject)
where
    K: Resource<DynamicType = ()> + Send + Sync + 'static,
{
    let client = client.clone();
    tokio::spawn(async move {
        let ObjectMeta { name, namespace, generation, .. } = invalid.metadata.clone();
        let message = format!("This version of the operator cannot decode the object: {}; correct it", invalid.error);
        tracing::warn!(kind = %K::kind(&()), namespace, name, error = invalid.error, "Object cannot be decoded");
        let draft = |type_, status| Draft::new(type_, status, Reason::Undecodable, message.clone());
        let drafts = vec![
            draft(ConditionType::Ready, ConditionStatus::False),
            draft(ConditionType::Stalled, ConditionStatus::True),
        ];
        let generation = generation.unwrap_or_default();
        let conditions = conditions::merge(&[], drafts, generation, conditions::now());
        let object: PartialObjectMeta<K> = invalid.metadata.into_response_partial();
        let status = json!({"observedGeneration": generation, "conditions": conditions});
        if let Err(error) = cluster::write_status(&client, &object, &status).await {
            tracing::warn!(name = object.name_any(), %error, "Status was not written");
        }
    });
}
