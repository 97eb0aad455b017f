//! [`Activity`]: the active requests of a connection, and the time since which there are none.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until};

use super::Limits;

/// The interval at which a connection that is shutting down is checked. It is dropped when it has no active request.
const SHUTDOWN_INTERVAL: Duration = Duration::from_secs(1);

/// The active requests of a connection, and the time since which there are none.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    requests: usize,
    /// Whether a write waits because the client does not read.
    is_blocked: bool,
    /// The time since which there is neither a request nor a blocked write.
    idle_since: Instant,
    /// Whether there has been a request.
    is_used: bool,
    lingers: bool,
}

/// A guard for a request, held from its head to the end of its response.
#[derive(Debug)]
pub(super) struct ActiveRequest(Arc<Activity>);

impl Activity {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            requests: 0,
            is_blocked: false,
            idle_since: Instant::now(),
            is_used: false,
            lingers: false,
        }))
    }

    /// Begins a request, which ends when the returned guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> ActiveRequest {
        let mut state = self.state();
        state.requests += 1;
        state.is_used = true;
        ActiveRequest(Arc::clone(self))
    }

    /// Sets whether a write waits for the client. The body of a response may be dropped before its last bytes are written, so a
    /// connection without requests can still have a blocked write.
    pub(super) fn set_blocked(&self, is_blocked: bool) {
        let mut state = self.state();
        state.is_blocked = is_blocked;
        state.idle_since = Instant::now();
    }

    /// Marks the connection as one that ends with the current response while the client may still be sending.
    pub(super) fn set_lingering(&self) {
        self.state().lingers = true;
    }

    /// Reports whether [`set_lingering`](Self::set_lingering) was called.
    pub(super) fn lingers(&self) -> bool {
        self.state().lingers
    }

    /// Waits until the connection has had no request for longer than `limits` allow.
    pub(super) async fn idle(&self, limits: &Limits) {
        loop {
            let deadline = self.idle_deadline(limits);
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }

    /// Waits until a connection that is shutting down has no active request.
    pub(super) async fn finished(&self) {
        loop {
            sleep(SHUTDOWN_INTERVAL).await;
            if !self.state().is_busy() {
                return;
            }
        }
    }

    /// Returns the earliest time at which the connection can be idle for too long.
    fn idle_deadline(&self, limits: &Limits) -> Instant {
        let state = self.state();
        if state.is_busy() {
            return Instant::now() + limits.idle_timeout;
        }
        state.idle_since + if state.is_used { limits.idle_timeout } else { limits.head_timeout }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock is usable: each critical section leaves the state consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn is_busy(&self) -> bool {
        self.requests > 0 || self.is_blocked
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests -= 1;
        state.idle_since = Instant::now();
    }
}
