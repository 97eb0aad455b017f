//! [`Sources`]: the calls that the credentials of each source may cause.

use std::{
    collections::{HashMap, hash_map::Entry},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_core::RequestSource;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{Rate, RateLimiter};

/// The number of calls that the credentials of one source may cause at once.
const BURST: u32 = 100;
/// The number of calls of one source that wait. All users behind one proxy or one address translation are one source, and may come at once
/// after a restart; each waiting call is an open request.
const MAX_WAITING: u32 = 4096;
/// The rate of calls that the credentials of one source may cause; accepted ones are not counted.
const PER_SOURCE: Rate = Rate::new(BURST, Duration::from_secs(1));
/// How long a call whose source has reached its limit waits for running calls, which may turn out to be of accepted credentials.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Limits the calls that the credentials of each source cause. Credentials that the provider accepts are not counted.
pub(super) struct Sources {
    limiter: RateLimiter,
    /// The sources that have running or waiting calls.
    active: Mutex<HashMap<RequestSource, Calls>>,
}

/// The calls of one source.
#[derive(Default)]
struct Calls {
    running: u32,
    waiting: u32,
    /// One of the running calls has ended.
    ended: Arc<Notify>,
}

/// A call that counts for its source as long as it runs.
pub(super) struct SourceCall<'a> {
    sources: &'a Sources,
    source: RequestSource,
}

/// A call that waits for the running calls of its source.
struct WaitingCall<'a> {
    sources: &'a Sources,
    source: RequestSource,
    ended: Arc<Notify>,
}

impl Sources {
    pub(super) fn new() -> Self {
        Self { limiter: RateLimiter::new(PER_SOURCE), active: Mutex::default() }
    }

    /// Counts a call that a credential from `source` causes.
    ///
    /// Running calls may turn out to be of accepted credentials, which are not counted: while the source has any, the call waits for them
    /// up to [`TIMEOUT`]. At most [`MAX_WAITING`] calls of one source wait.
    ///
    /// # Errors
    /// The time to wait.
    pub(super) async fn charge(&self, source: RequestSource) -> Result<SourceCall<'_>, Duration> {
        let Err(retry_after) = self.start(source) else { return Ok(SourceCall { sources: self, source }) };
        let Some(waiting) = self.wait(source) else { return Err(retry_after) };
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let mut ended = pin!(waiting.ended.notified());
            // From here on the end of no call is missed.
            ended.as_mut().enable();
            let Err(retry_after) = self.start(source) else { return Ok(SourceCall { sources: self, source }) };
            let may_be_refunded = self.active().get(&source).is_some_and(|calls| calls.running > 0);
            if !may_be_refunded || timeout_at(deadline, ended).await.is_err() {
                return Err(retry_after);
            }
        }
    }

    /// Counts a call as running if the limit of its source allows it.
    fn start(&self, source: RequestSource) -> Result<(), Duration> {
        self.limiter.acquire(source)?;
        self.active().entry(source).or_default().running += 1;
        Ok(())
    }

    /// Counts a call as waiting, unless no call of its source runs, or [`MAX_WAITING`] calls wait.
    fn wait(&self, source: RequestSource) -> Option<WaitingCall<'_>> {
        let mut active = self.active();
        let calls = active.get_mut(&source).filter(|calls| calls.running > 0 && calls.waiting < MAX_WAITING)?;
        calls.waiting += 1;
        Some(WaitingCall { sources: self, source, ended: Arc::clone(&calls.ended) })
    }

    /// Changes the calls of `source`, which is forgotten if it has none then.
    fn change(&self, source: RequestSource, change: impl FnOnce(&mut Calls)) {
        if let Entry::Occupied(mut calls) = self.active().entry(source) {
            change(calls.get_mut());
            if calls.get().running == 0 && calls.get().waiting == 0 {
                calls.remove();
            }
        }
    }

    fn active(&self) -> MutexGuard<'_, HashMap<RequestSource, Calls>> {
        // No code panics while the lock is held.
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SourceCall<'_> {
    /// Does not count the call: it did not reach the provider, or its credential was accepted.
    pub(super) fn refund(&self) {
        self.sources.limiter.refund(self.source);
    }
}

impl Drop for SourceCall<'_> {
    fn drop(&mut self) {
        self.sources.change(self.source, |calls| {
            calls.running -= 1;
            calls.ended.notify_waiters();
        });
    }
}

impl Drop for WaitingCall<'_> {
    fn drop(&mut self) {
        self.sources.change(self.source, |calls| calls.waiting -= 1);
    }
}
