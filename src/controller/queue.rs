//! A queue of objects to look at. An object that waits in it already is not queued twice, so that it never grows beyond
//! the number of objects, and pushing never waits.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use kube::Resource;
use kube::runtime::controller::{ReconcileReason, ReconcileRequest};
use kube::runtime::reflector::{Lookup, ObjectRef};
use tokio::sync::mpsc;

type Waiting<K> = Arc<Mutex<HashSet<ObjectRef<K>>>>;

/// The end that objects are pushed to.
pub(crate) struct Queue<K: Resource<DynamicType = ()> + Lookup<DynamicType = ()> + 'static> {
    waiting: Waiting<K>,
    sender: Mutex<Option<mpsc::UnboundedSender<ObjectRef<K>>>>,
}

impl<K: Resource<DynamicType = ()> + Lookup<DynamicType = ()> + 'static> Queue<K> {
    /// A queue and the stream of what is pushed to it.
    pub(crate) fn new() -> (Self, impl Stream<Item = Result<ReconcileRequest<K>, std::convert::Infallible>>) {
        let waiting = Waiting::<K>::default();
        let (sender, mut receiver) = mpsc::unbounded_channel::<ObjectRef<K>>();
        let seen = waiting.clone();
        let stream = futures::stream::poll_fn(move |context| {
            receiver.poll_recv(context).map(|next| {
                next.map(|object| {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).remove(&object);
                    Ok(ReconcileRequest { obj_ref: object, reason: ReconcileReason::Unknown })
                })
            })
        });
        (Self { waiting, sender: Mutex::new(Some(sender)) }, stream)
    }

    /// Asks for a pass over an object.
    pub(crate) fn push(&self, object: ObjectRef<K>) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*sender
            && self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(object.clone())
        {
            // The receiver lives as long as the controller; behind it nobody waits for the object.
            let _ = sender.send(object);
        }
    }

    /// Ends the stream: passes that run are finished, no new one begins.
    pub(crate) fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
