//! Config writes under way. Vault asks the issuer while it writes a config, and gives up only after 90 s: no pass waits so
//! long, and giving up would undo the write. So each goes on by itself, one at a time and mount.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use serde_json::Value;

use super::error::VaultError;
use crate::api::names::MountPath;

type Write = Shared<BoxFuture<'static, Result<(), VaultError>>>;

/// The writes under way, by mount, with what is written.
#[derive(Default)]
pub(super) struct ConfigWrites(Mutex<HashMap<MountPath, (Value, Write)>>);

impl ConfigWrites {
    /// The write of this content that is under way, or else `write`, which is started.
    pub(super) fn join(
        &self,
        mount: &MountPath,
        body: Value,
        write: impl Future<Output = Result<(), VaultError>> + Send + 'static,
    ) -> Write {
        // Held until it is noted down, so that a write that ends at once is not forgotten before that.
        let mut writes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((written, under_way)) = writes.get(mount)
            && *written == body
        {
            return under_way.clone();
        }
        let task = tokio::spawn(write);
        let write = task.map(|ended| ended.unwrap_or(Err(VaultError::Closed))).boxed().shared();
        writes.insert(mount.clone(), (body, write.clone()));
        write
    }

    pub(super) fn remove(&self, mount: &MountPath) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(mount);
    }
}
