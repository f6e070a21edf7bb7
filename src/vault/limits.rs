//! What is asked of one Vault at a time. Calls on which Vault may itself wait for an issuer must not hold the places
//! that other objects need: they give theirs up after a moment and go on under a bound of their own mount.

use std::collections::HashMap;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};

/// After this a call that may hang no longer counts among the concurrent ones.
const GRACE: Duration = Duration::from_secs(1);
/// Calls that may hang in flight for one mount.
const PER_MOUNT: usize = 2;

/// How a call counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// As one of the concurrent requests, until it is answered.
    Normal,
    /// As one of the concurrent requests for a moment, and as one of the few of its auth mount until it is answered:
    /// config reads, config writes and logins, which hang while the mount's issuer hangs.
    Issuer(String),
    /// Not at all: health, and the revocation at exit.
    Urgent,
}

/// The limits of one server.
pub(super) struct Limits {
    places: Semaphore,
    rate: DefaultDirectRateLimiter,
    mounts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Limits {
    pub(super) fn new(requests_per_second: u32, concurrent_requests: u32) -> Self {
        let per_second = NonZeroU32::new(requests_per_second).unwrap_or(NonZeroU32::MIN);
        Self {
            places: Semaphore::new(usize::try_from(concurrent_requests).unwrap_or(1).clamp(1, Semaphore::MAX_PERMITS)),
            rate: RateLimiter::direct(Quota::per_second(per_second)),
            mounts: Mutex::default(),
        }
    }

    /// Runs a call when its lane has a place; none when one that may hang had none for so long. All others get a place
    /// soon, and have the caller's deadline.
    pub(super) async fn run<T>(&self, lane: &Lane, patience: Duration, call: impl Future<Output = T>) -> Option<T> {
        match lane {
            Lane::Urgent => Some(call.await),
            Lane::Normal => {
                let _place = self.place().await;
                Some(call.await)
            }
            Lane::Issuer(mount) => {
                let few = self.mount(mount);
                let turn = async { (few.acquire().await, self.place().await) };
                let (_one_of_few, place) = tokio::time::timeout(patience, turn).await.ok()?;
                let mut call = std::pin::pin!(call);
                if let Ok(answer) = tokio::time::timeout(GRACE, &mut call).await {
                    return Some(answer);
                }
                drop(place);
                Some(call.await)
            }
        }
    }

    /// The place first and the rate second: so only the few that have a place compete for the rate, in their order.
    async fn place(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        let place = self.places.acquire().await.ok();
        self.rate.until_ready().await;
        place
    }

    fn mount(&self, mount: &str) -> Arc<Semaphore> {
        let mut mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(few) = mounts.get(mount) {
            return Arc::clone(few);
        }
        mounts.retain(|_, few| Arc::strong_count(few) > 1);
        let few = Arc::new(Semaphore::new(PER_MOUNT));
        mounts.insert(mount.to_owned(), Arc::clone(&few));
        few
    }
}
