//! One watch a task, each with its own back-off: what one of them suffers delays no other. Watches feed the stores and
//! the index, and ask for passes; only metadata of Secrets and ConfigMaps is ever watched.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::Api;
use kube::core::error_boundary::InvalidObject;
use kube::core::{DeserializeGuard, PartialObjectMeta, Resource};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;

use super::context::Context;
use super::index::BindingRef;
use super::undecodable::{self, Salvaged};
use crate::api::connection::ConnectionAuth;
use crate::api::references::CaKind;
use crate::api::{REQUESTED_AT, VaultConnection, VaultJwtBinding};

/// Few objects at a time, so that a list of thousands does not stand in memory at once.
const PAGE: u32 = 100;
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The events of a kind, for ever. Errors are logged and backed off from by the stream itself.
async fn events<K>(api: Api<K>, mut handle: impl FnMut(Event<K>))
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + DeserializeOwned + 'static,
{
    let mut stream = watch(api, watcher::Config::default().page_size(PAGE)).default_backoff().boxed();
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => handle(event),
            Err(error) => tracing::warn!(kind = %K::kind(&()), %error, "Watch failed, trying again"),
        }
    }
}

/// What nobody reads need not be kept.
fn prune<K: ResourceExt>(object: &mut K) {
    object.managed_fields_mut().clear();
    object.annotations_mut().remove(LAST_APPLIED);
}

/// Splits what could be decoded from what could not. Of an object that can no longer be decoded its last form stays
/// known until it is deleted: what it claims is still its own.
fn decoded<K: Resource<DynamicType = ()> + Clone>(
    event: Event<DeserializeGuard<K>>,
    known: impl Fn(&InvalidObject) -> Option<K>,
    mut broken: impl FnMut(InvalidObject),
) -> Option<Event<K>> {
    let mut take = |guard: DeserializeGuard<K>| match guard.0 {
        Ok(mut object) => {
            prune(&mut object);
            Some(object)
        }
        Err(invalid) => {
            let last = known(&invalid);
            broken(invalid);
            last
        }
    };
    Some(match event {
        Event::Apply(DeserializeGuard(Err(invalid))) => {
            broken(invalid);
            return None;
        }
        Event::Apply(guard) => Event::Apply(take(guard)?),
        Event::InitApply(guard) => Event::InitApply(take(guard)?),
        Event::Delete(DeserializeGuard(Err(invalid))) => Event::Delete(known(&invalid)?),
        Event::Delete(guard) => Event::Delete(take(guard)?),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    })
}

fn whole(event: Event<DeserializeGuard<Salvaged>>) -> Event<DeserializeGuard<VaultJwtBinding>> {
    let binding = |guard: DeserializeGuard<Salvaged>| DeserializeGuard(guard.0.map(|salvaged| salvaged.0));
    match event {
        Event::Apply(guard) => Event::Apply(binding(guard)),
        Event::InitApply(guard) => Event::InitApply(binding(guard)),
        Event::Delete(guard) => Event::Delete(binding(guard)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

fn name_of<K: Resource<DynamicType = ()>>(invalid: &InvalidObject) -> ObjectRef<K> {
    let name = ObjectRef::new(invalid.metadata.name.as_deref().unwrap_or_default());
    match &invalid.metadata.namespace {
        Some(namespace) => name.within(namespace),
        None => name,
    }
}

/// Watches bindings.
pub(crate) async fn bindings(client: Client, mut writer: Writer<VaultJwtBinding>, context: Arc<Context>) {
    let api = Api::<DeserializeGuard<Salvaged>>::all(client.clone());
    let store = context.bindings.clone();
    let known = |invalid: &InvalidObject| store.get(&name_of(invalid)).map(|last| last.as_ref().clone());
    let mut present: HashSet<BindingRef> = HashSet::new();
    // What a list brings is in the store only when the list is whole.
    let mut listed: Vec<BindingRef> = Vec::new();
    events(api, |event| {
        let event = whole(event);
        let reported = |invalid: InvalidObject| {
            context.set_broken(name_of(&invalid), true);
            undecodable::report::<VaultJwtBinding>(&client, invalid);
        };
        if let Event::Apply(DeserializeGuard(Ok(binding))) | Event::InitApply(DeserializeGuard(Ok(binding))) = &event {
            context.set_broken(BindingRef::from_obj(binding), false);
        }
        let Some(event) = decoded(event, known, reported) else { return };
        writer.apply_watcher_event(&event);
        match &event {
            Event::Init => present.clear(),
            Event::InitApply(binding) => {
                present.insert(BindingRef::from_obj(binding));
                listed.extend(context.index().apply(binding));
            }
            Event::InitDone => {
                listed.extend(context.index().retain(&present));
                present.clear();
                context.forget_gone_bindings();
                context.trigger(listed.drain(..));
            }
            Event::Apply(binding) => {
                let touched = context.index().apply(binding);
                context.trigger(touched);
            }
            Event::Delete(binding) => {
                context.set_broken(BindingRef::from_obj(binding), false);
                let touched = context.index().remove(&BindingRef::from_obj(binding));
                context.forget_binding(binding);
                context.trigger(touched);
            }
        }
    })
    .await;
}

/// Watches connections.
pub(crate) async fn connections(client: Client, mut writer: Writer<VaultConnection>, context: Arc<Context>) {
    let api = Api::<DeserializeGuard<VaultConnection>>::all(client.clone());
    let store = context.vault_connections.clone();
    let last = |invalid: &InvalidObject| store.get(&name_of(invalid)).map(|last| last.as_ref().clone());
    let seen = |connection: &VaultConnection| {
        (connection.uid(), connection.metadata.generation, connection.annotations().get(REQUESTED_AT).cloned())
    };
    let mut known = HashMap::new();
    let mut present = HashSet::new();
    let forget = |name: String| {
        let context = context.clone();
        tokio::spawn(async move {
            context.connections.remove(&name).await;
            context.trigger_users_of(&name);
        });
    };
    events(api, |event| {
        let reported = |invalid| undecodable::report::<VaultConnection>(&client, invalid);
        let Some(event) = decoded(event, last, reported) else { return };
        writer.apply_watcher_event(&event);
        match &event {
            Event::Init => present.clear(),
            Event::InitApply(connection) => {
                present.insert(connection.name_any());
                known.insert(connection.name_any(), seen(connection));
            }
            Event::InitDone => {
                for gone in known.extract_if(|name, _| !present.contains(name)) {
                    forget(gone.0);
                }
                for connection in present.drain() {
                    context.connection_queue.push(ObjectRef::new(&connection));
                }
            }
            Event::Apply(connection) => {
                let now = seen(connection);
                if known.insert(connection.name_any(), now.clone()).as_ref() != Some(&now) {
                    context.connection_queue.push(ObjectRef::from_obj(connection));
                }
            }
            Event::Delete(connection) => {
                known.remove(&connection.name_any());
                context.forget_connection(connection);
                forget(connection.name_any());
            }
        }
    })
    .await;
}

/// Watches namespaces, whose labels decide which grants are theirs.
pub(crate) async fn namespaces(
    client: Client,
    mut writer: Writer<PartialObjectMeta<Namespace>>,
    context: Arc<Context>,
) {
    let mut labels = HashMap::new();
    let mut changed: Vec<String> = Vec::new();
    events(Api::<PartialObjectMeta<Namespace>>::all(client), |mut event| {
        if let Event::Apply(namespace) | Event::InitApply(namespace) = &mut event {
            prune(namespace);
        }
        writer.apply_watcher_event(&event);
        match &event {
            Event::Apply(namespace) | Event::InitApply(namespace) => {
                let (name, now) = (namespace.name_any(), namespace.labels().clone());
                if labels.insert(name.clone(), now.clone()) != Some(now) {
                    changed.push(name);
                }
            }
            Event::Delete(namespace) => {
                let name = namespace.name_any();
                labels.remove(&name);
                let context = context.clone();
                tokio::spawn(async move { context.connections.forget_namespace(&name).await });
            }
            Event::Init | Event::InitDone => {}
        }
        // What a list brings is in the store only when the list is whole.
        if matches!(event, Event::Apply(_) | Event::InitDone) {
            changed.drain(..).for_each(|name| context.trigger_namespace(&name));
        }
    })
    .await;
}

/// Watches the metadata of Secrets.
pub(crate) async fn secrets(client: Client, context: Arc<Context>) {
    referents(Api::<PartialObjectMeta<Secret>>::all(client), CaKind::Secret, &context).await;
}

/// Watches the metadata of ConfigMaps.
pub(crate) async fn config_maps(client: Client, context: Arc<Context>) {
    referents(Api::<PartialObjectMeta<ConfigMap>>::all(client), CaKind::ConfigMap, &context).await;
}

async fn referents<K>(api: Api<PartialObjectMeta<K>>, kind: CaKind, context: &Context)
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + DeserializeOwned + 'static,
    PartialObjectMeta<K>: Resource<DynamicType = ()> + DeserializeOwned,
{
    // What the first list shows was read, or will be, by the first passes.
    let mut listed = false;
    events(api, |event| match event {
        Event::InitDone => listed = true,
        Event::InitApply(_) if !listed => {}
        Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => {
            let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
            let touched = context.index().referring_to(kind, &namespace, &name);
            context.trigger(touched);
            for connection in context.vault_connections.state() {
                if refers_to(&connection, kind, &namespace, &name) {
                    context.connection_queue.push(ObjectRef::from_obj(connection.as_ref()));
                }
            }
        }
        Event::Init => {}
    })
    .await;
}

/// Whether a connection's credentials or certificates are in this object.
fn refers_to(connection: &VaultConnection, kind: CaKind, namespace: &str, name: &str) -> bool {
    let is = |their_namespace: &str, their_name: &str| their_namespace == namespace && their_name == name;
    let ConnectionAuth { app_role, token, .. } = &connection.spec.auth;
    let tls = connection.spec.tls.as_ref();
    let ca = tls.and_then(|tls| tls.ca_ref.as_ref());
    ca.is_some_and(|ca| ca.kind == kind && is(&ca.namespace, &ca.name))
        || kind == CaKind::Secret
            && (tls
                .and_then(|tls| tls.client_certificate_ref.as_ref())
                .is_some_and(|pair| is(&pair.namespace, &pair.name))
                || app_role.as_ref().is_some_and(|auth| is(&auth.secret_id_ref.namespace, &auth.secret_id_ref.name))
                || token.as_ref().is_some_and(|auth| is(&auth.secret_ref.namespace, &auth.secret_ref.name)))
}
