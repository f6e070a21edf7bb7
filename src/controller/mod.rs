//! The shell: watches, one reconcile per kind, status. `kube::runtime`'s applier schedules; every watch, call and pass
//! has its own guard, because the runtime's shared back-off, missing deadlines and unwinding panics would let one sick
//! object delay or end all others.

mod binding;
mod cluster;
mod conditions;
mod connection;
mod connections;
mod contest;
mod context;
mod deletion;
mod events;
mod identity;
mod index;
mod news;
mod outcome;
mod pace;
mod queue;
#[cfg(test)]
mod stand_in;
mod status;
mod undecodable;
mod watch;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::{applier, reflector};
use kube::{Client, Config, ResourceExt};
use tokio::task::JoinSet;

use self::connections::{Connections, Operator};
use self::context::Context;
use self::events::Events;
use self::queue::Queue;
use crate::api::VaultJwtBinding;

/// How the controller runs.
pub struct Settings {
    /// The operator's own ServiceAccount, namespace and name, where it is not run in a pod of it.
    pub service_account: Option<(String, String)>,
    /// Names this cluster in ownership markers; by default the uid of `kube-system`.
    pub cluster: Option<String>,
    /// Passes over the bindings of one connection at once.
    pub concurrency: u16,
}

/// Why the controller could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Neither a kubeconfig nor a pod's environment.
    #[error("no cluster is configured: {0}; set KUBECONFIG, or run in a pod")]
    Config(#[source] Box<kube::config::InferConfigError>),
    /// The client could not be made.
    #[error("the apiserver's address or certificates cannot be used: {0}")]
    Client(#[source] Box<kube::Error>),
    /// The uid of `kube-system` could not be read.
    #[error("namespace kube-system cannot be read: {0}; grant `get` on it, or name the cluster with --cluster")]
    Cluster(#[source] Box<kube::Error>),
    /// A watch ended, which it never should.
    #[error("a watch ended")]
    WatchEnded,
}

/// Runs until `shutdown` resolves; then passes under way end, tokens are revoked, and it returns.
///
/// # Errors
/// When it cannot start, or a watch ends.
pub async fn run(settings: Settings, shutdown: impl Future<Output = ()> + Send) -> Result<(), RunError> {
    let mut config = Config::infer().await.map_err(|error| RunError::Config(Box::new(error)))?;
    // The client's own retries may last minutes inside one call; passes retry at their own pace.
    config.default_retry = false;
    let client = Client::try_from(config).map_err(|error| RunError::Client(Box::new(error)))?;
    let cluster = match settings.cluster {
        Some(cluster) => cluster,
        None => Api::<PartialObjectMeta<Namespace>>::all(client.clone())
            .get("kube-system")
            .await
            .map_err(|error| RunError::Cluster(Box::new(error)))?
            .uid()
            .unwrap_or_default(),
    };
    let (bindings, binding_writer) = reflector::store();
    let (vault_connections, connection_writer) = reflector::store();
    let (namespaces, namespace_writer) = reflector::store();
    let (binding_queue, binding_requests) = Queue::new();
    let (connection_queue, connection_requests) = Queue::new();
    let context = Arc::new(Context {
        operator: Operator {
            client: client.clone(),
            service_account: settings.service_account,
            concurrency: settings.concurrency,
        },
        cluster,
        events: Events::new(client.clone()),
        connections: Connections::default(),
        bindings: bindings.clone(),
        vault_connections: vault_connections.clone(),
        namespaces: namespaces.clone(),
        binding_queue,
        connection_queue,
        index: std::sync::Mutex::default(),
        broken: std::sync::Mutex::default(),
        states: std::sync::Mutex::default(),
        connection_states: std::sync::Mutex::default(),
    });

    let mut watches = JoinSet::new();
    watches.spawn(watch::namespaces(client.clone(), namespace_writer, context.clone()));
    watches.spawn(watch::connections(client.clone(), connection_writer, context.clone()));
    watches.spawn(watch::bindings(client.clone(), binding_writer, context.clone()));
    watches.spawn(watch::secrets(client.clone(), context.clone()));
    watches.spawn(watch::config_maps(client, context.clone()));

    let ready = async {
        // A pass before all is known would see claims and grants that are not there.
        let _ = namespaces.wait_until_ready().await;
        let _ = vault_connections.wait_until_ready().await;
        let _ = bindings.wait_until_ready().await;
        tracing::info!(bindings = bindings.len(), connections = vault_connections.len(), "Watching");
    };
    let passes = async {
        ready.await;
        let connections = applier(
            |connection, context: Arc<Context>| {
                guard(connection::reconcile(connection, context), async || Action::requeue(AFTER_A_PANIC)).boxed()
            },
            |_, error: &Infallible, _| match *error {},
            context.clone(),
            vault_connections.clone(),
            connection_requests,
            // Few, and each with deadlines of its own: none waits for another.
            kube::runtime::Config::default(),
        )
        .for_each(|result| async { ended(result) });
        let bindings = applier(
            |binding: Arc<VaultJwtBinding>, context: Arc<Context>| {
                let pass = binding::reconcile(binding.clone(), context.clone());
                guard(pass, async move || {
                    binding::report_panic(&binding, &context).await;
                    Action::requeue(AFTER_A_PANIC)
                })
                .boxed()
            },
            |_, error: &Infallible, _| match *error {},
            context.clone(),
            bindings.clone(),
            binding_requests,
            // Unbounded here: each connection bounds the passes over its own bindings.
            kube::runtime::Config::default(),
        )
        .for_each(|result| async { ended(result) });
        futures::future::join(connections, bindings).await;
    };
    let mut passes = passes.boxed();
    let ended = tokio::select! {
        () = &mut passes => Ok(()),
        _ = watches.join_next() => Err(RunError::WatchEnded),
        () = shutdown => Ok(()),
    };
    tracing::info!("Stopping");
    watches.abort_all();
    context.binding_queue.close();
    context.connection_queue.close();
    if tokio::time::timeout(Duration::from_secs(5), &mut passes).await.is_err() {
        tracing::info!("Passes under way were cut");
    }
    // None may log in again once the tokens are revoked.
    drop(passes);
    context.connections.close().await;
    ended
}

/// A pass that panicked would do so again at once.
const AFTER_A_PANIC: Duration = Duration::from_secs(60);

/// Runs a pass in a task of its own: it may use the other core, and a panic ends that task and nothing else.
async fn guard(
    pass: impl Future<Output = Action> + Send + 'static,
    panicked: impl AsyncFnOnce() -> Action,
) -> Result<Action, Infallible> {
    let mut task = JoinSet::new();
    task.spawn(pass);
    Ok(match task.join_next().await {
        Some(Ok(action)) => action,
        Some(Err(error)) => {
            tracing::error!(%error, "A pass panicked");
            panicked().await
        }
        None => Action::await_change(),
    })
}

fn ended<K>(result: Result<(reflector::ObjectRef<K>, Action), kube::runtime::controller::Error<Infallible, Infallible>>)
where
    K: kube::Resource<DynamicType = ()>,
{
    match result {
        Ok((object, action)) => tracing::debug!(%object, ?action, "Pass ended"),
        // Deleted between the trigger and the pass.
        Err(kube::runtime::controller::Error::ObjectNotFound(object)) => tracing::debug!(%object, "Object is gone"),
        Err(error) => tracing::warn!(%error, "Pass failed"),
    }
}
