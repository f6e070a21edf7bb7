//! Config writes under way. Vault asks the issuer while it writes a config, and gives up only after 90 s: no pass waits so
//! long, and giving up would undo the write. So each goes on by itself, one at a time and mount: a newer one waits for
//! the one that is on its way, since Vault would let the one win that ends last, and the newest is the one that counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use serde_json::Value;
use tokio::task::AbortHandle;

use super::error::{Call, VaultError};
use super::session::lock;
use crate::api::names::MountPath;

type Write = Shared<BoxFuture<'static, Result<(), VaultError>>>;

/// The newest write of each mount that is under way or waits for its turn.
#[derive(Default)]
pub(super) struct ConfigWrites(Mutex<HashMap<MountPath, UnderWay>>);

struct UnderWay {
    body: Value,
    /// A newer one has come: when it has not begun yet, it does not.
    superseded: Arc<AtomicBool>,
    /// Tells whether it has ended, also when nobody waits for it any more.
    task: AbortHandle,
    write: Write,
}

impl ConfigWrites {
    /// The newest write, when it has this content, or else `write`, which is started when those before it have ended.
    pub(super) fn join(
        &self,
        mount: &MountPath,
        call: Call,
        body: Value,
        write: impl Future<Output = Result<(), VaultError>> + Send + 'static,
    ) -> Write {
        let mut writes = lock(&self.0);
        writes.retain(|_, under_way| !under_way.task.is_finished());
        if let Some(newest) = writes.get(mount).filter(|newest| newest.body == body) {
            return newest.write.clone();
        }
        let before = writes.remove(mount).map(|older| {
            older.superseded.store(true, Ordering::SeqCst);
            older.write
        });
        let superseded = Arc::new(AtomicBool::new(false));
        let is_superseded = Arc::clone(&superseded);
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                // How it ended is its own callers' affair.
                let _ = before.await;
            }
            if is_superseded.load(Ordering::SeqCst) {
                return Err(VaultError::Superseded { call });
            }
            write.await
        });
        let handle = task.abort_handle();
        let write = task.map(|ended| ended.unwrap_or(Err(VaultError::Closed))).boxed().shared();
        writes.insert(mount.clone(), UnderWay { body, superseded, task: handle, write: write.clone() });
        write
    }
}
