//! Config writes under way. Vault asks the issuer while it writes a config, and gives up only after 90 s: no pass waits so
//! long, and giving up would undo the write. So each goes on by itself, one at a time and mount.

use std::collections::HashMap;
use std::sync::Mutex;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use serde_json::Value;
use tokio::task::AbortHandle;

use super::error::VaultError;
use super::session::lock;
use crate::api::names::MountPath;

type Write = Shared<BoxFuture<'static, Result<(), VaultError>>>;

/// The writes under way, by mount.
#[derive(Default)]
pub(super) struct ConfigWrites(Mutex<HashMap<MountPath, UnderWay>>);

struct UnderWay {
    body: Value,
    /// Tells whether it has ended, also when nobody waits for it any more.
    task: AbortHandle,
    write: Write,
}

impl ConfigWrites {
    /// The write of this content that is under way, or else `write`, which is started.
    pub(super) fn join(
        &self,
        mount: &MountPath,
        body: Value,
        write: impl Future<Output = Result<(), VaultError>> + Send + 'static,
    ) -> Write {
        let mut writes = lock(&self.0);
        writes.retain(|_, under_way| !under_way.task.is_finished());
        if let Some(under_way) = writes.get(mount).filter(|under_way| under_way.body == body) {
            return under_way.write.clone();
        }
        let task = tokio::spawn(write);
        let handle = task.abort_handle();
        let write = task.map(|ended| ended.unwrap_or(Err(VaultError::Closed))).boxed().shared();
        writes.insert(mount.clone(), UnderWay { body, task: handle, write: write.clone() });
        write
    }
}
