//! [`Limits`]: the number of connections, and the time-outs of each; [`LogRateLimit`]: how often the log reports them.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The shortest time between two log lines of one kind.
const PERIOD: Duration = Duration::from_secs(10);

/// The number of connections, and the time-outs of each.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub(crate) max: usize,
    pub(crate) max_per_address: Option<usize>,
    pub(crate) head_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max: 10_000,
            max_per_address: Some(1_000),
            head_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(2),
            body_timeout: Duration::from_mins(1),
            write_timeout: Duration::from_mins(1),
        }
    }
}

impl Limits {
    /// Sets the number of simultaneous connections; further connections wait. Default: 10,000.
    #[must_use]
    pub const fn with_max(self, max: usize) -> Self {
        Self { max, ..self }
    }

    /// Sets the number of simultaneous connections from one IPv4 address or one IPv6 network (/64); further connections are closed.
    /// Default: 1,000. `None`, for a server behind a proxy, leaves only the total limit.
    #[must_use]
    pub const fn with_max_per_address(self, max: Option<usize>) -> Self {
        Self { max_per_address: max, ..self }
    }

    /// Sets the time from the start of a connection to the head of its first request. Default: 30 s.
    #[must_use]
    pub const fn with_head_timeout(self, timeout: Duration) -> Self {
        Self { head_timeout: timeout, ..self }
    }

    /// Sets the time from the end of a response to the head of the next request. Default: 2 min, which is longer than the time-outs
    /// of common connection pools and proxies, so that the client is the side that closes.
    #[must_use]
    pub const fn with_idle_timeout(self, timeout: Duration) -> Self {
        Self { idle_timeout: timeout, ..self }
    }

    /// Sets the time for the body of a request, from when the service first waits for the body. Default: 1 min.
    #[must_use]
    pub const fn with_body_timeout(self, timeout: Duration) -> Self {
        Self { body_timeout: timeout, ..self }
    }

    /// Sets the time for a write that makes no progress because the client does not read. Default: 1 min.
    #[must_use]
    pub const fn with_write_timeout(self, timeout: Duration) -> Self {
        Self { write_timeout: timeout, ..self }
    }

    /// Lowers the limits to at most `room` connections, of which one address may have at most half.
    pub(super) fn within(self, room: usize) -> Self {
        if room >= self.max {
            return self;
        }
        Self { max: room, max_per_address: self.max_per_address.map(|max| max.min(room.div_ceil(2))), ..self }
    }
}

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
