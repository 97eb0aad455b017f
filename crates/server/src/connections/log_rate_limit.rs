//! [`LogRateLimit`]: at most one log line per period, for events that clients can cause.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The shortest time between two log lines of one kind.
const PERIOD: Duration = Duration::from_secs(10);

/// A rate limit for one log line: at most one per [`PERIOD`], with the count of the events in between.
#[derive(Debug)]
pub(super) struct LogRateLimit(Mutex<State>);

#[derive(Debug)]
struct State {
    count: u64,
    last: Option<Instant>,
}

impl LogRateLimit {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(State { count: 0, last: None }))
    }

    /// Counts one event. Returns the number of events since the last log line if the next line may be written now.
    pub(super) fn record(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += 1;
        let now = Instant::now();
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < PERIOD) {
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.count))
    }
}
