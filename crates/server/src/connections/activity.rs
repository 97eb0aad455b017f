//! [`Activity`]: what a connection is busy with, and since when with nothing.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until};

use crate::Limits;

/// How long a connection that is being closed may do nothing before it is cut.
const CUT_AFTER: Duration = Duration::from_secs(1);

/// What a connection is busy with, and since when with nothing.
#[derive(Debug)]
pub(crate) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    requests: usize,
    /// Whether something is to be written, and the client does not take it.
    is_blocked: bool,
    /// Since when there is neither.
    idle_since: Instant,
    /// Whether there has been one.
    is_used: bool,
    lingers: bool,
}

/// A request from its head to the end of its response.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Activity>);

impl Activity {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State {
            requests: 0,
            is_blocked: false,
            idle_since: Instant::now(),
            is_used: false,
            lingers: false,
        }))
    }

    /// Notes that a request begins; it lasts as long as the returned guard.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        let mut state = self.state();
        state.requests += 1;
        state.is_used = true;
        InFlight(Arc::clone(self))
    }

    /// Notes whether a write waits for the client. What is written of a response may be all that is left of it.
    pub(crate) fn block(&self, is_blocked: bool) {
        let mut state = self.state();
        state.is_blocked = is_blocked;
        state.idle_since = Instant::now();
    }

    /// Notes that the connection ends with this response, and that the client may still be sending.
    pub(crate) fn linger(&self) {
        self.state().lingers = true;
    }

    pub(crate) fn lingers(&self) -> bool {
        self.state().lingers
    }

    /// Waits until the connection has been without a request for longer than `limits` allow.
    pub(crate) async fn overdue(&self, limits: &Limits) {
        loop {
            let deadline = self.deadline(limits);
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }

    /// Waits until a connection that is being closed has nothing left to finish.
    pub(crate) async fn finished(&self) {
        loop {
            sleep(CUT_AFTER).await;
            if !self.state().is_busy() {
                return;
            }
        }
    }

    /// When the connection is overdue at the earliest.
    fn deadline(&self, limits: &Limits) -> Instant {
        let state = self.state();
        if state.is_busy() {
            return Instant::now() + limits.idle_timeout;
        }
        state.idle_since + if state.is_used { limits.idle_timeout } else { limits.head_timeout }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A few numbers, which are consistent whatever panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn is_busy(&self) -> bool {
        self.requests > 0 || self.is_blocked
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests -= 1;
        state.idle_since = Instant::now();
    }
}
