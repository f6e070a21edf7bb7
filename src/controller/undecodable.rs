//! Objects that this version cannot decode, e.g. stored under an older schema: their status says so, and the watch goes
//! on for all others.

use kube::Client;
use kube::core::error_boundary::InvalidObject;
use kube::core::{ObjectMeta, Resource};
use serde_json::json;

use super::cluster;
use super::conditions::{self, Draft};
use crate::api::conditions::{Condition, ConditionStatus, ConditionType, Reason};

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
    let message = format!("This version of the operator cannot decode the object: {}; correct it", invalid.error);
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
