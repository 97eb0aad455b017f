//! [`Occasional`]: a log line that others can provoke, and that is written once in a while.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The shortest time between two lines about the same.
const PAUSE: Duration = Duration::from_secs(10);

/// A log line that others can provoke, and that is written once in a while.
#[derive(Debug)]
pub(crate) struct Occasional(Mutex<State>);

#[derive(Debug)]
struct State {
    count: u64,
    last: Option<Instant>,
}

impl Occasional {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(State { count: 0, last: None }))
    }

    /// Counts one more, and says how many there have been since the last line if it is time for another.
    pub(crate) fn due(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += 1;
        let now = Instant::now();
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.count))
    }
}
