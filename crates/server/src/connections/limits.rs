//! [`Limits`]: how many connections there may be, and how long each may take for what.

use std::time::Duration;

/// How many connections there may be, and how long each may take for what.
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
    /// Connections at once; more wait until one ends. Default: 10,000.
    #[must_use]
    pub const fn with_max(self, max: usize) -> Self {
        Self { max, ..self }
    }

    /// Connections at once from one IPv4 address or one IPv6 network (/64); more are closed. Default: 1,000. `None`, for a server
    /// behind a proxy: no limit but the total.
    #[must_use]
    pub const fn with_max_per_address(self, max: Option<usize>) -> Self {
        Self { max_per_address: max, ..self }
    }

    /// With at most `room` connections, of which one address has at most half.
    pub(crate) fn within(self, room: usize) -> Self {
        if room >= self.max {
            return self;
        }
        Self { max: room, max_per_address: self.max_per_address.map(|max| max.min(room.div_ceil(2))), ..self }
    }

    /// From the beginning of a connection to the head of its first request. Default: 30 s.
    #[must_use]
    pub const fn with_head_timeout(self, timeout: Duration) -> Self {
        Self { head_timeout: timeout, ..self }
    }

    /// From the end of a response to the head of the next request. Default: 2 min, which is longer than the connection pools of
    /// usual clients and proxies, so that the client is the one that closes.
    #[must_use]
    pub const fn with_idle_timeout(self, timeout: Duration) -> Self {
        Self { idle_timeout: timeout, ..self }
    }

    /// For the body of a request, from when it is first waited for. Default: 1 min.
    #[must_use]
    pub const fn with_body_timeout(self, timeout: Duration) -> Self {
        Self { body_timeout: timeout, ..self }
    }

    /// For a write that makes no progress, because the client reads nothing. Default: 1 min.
    #[must_use]
    pub const fn with_write_timeout(self, timeout: Duration) -> Self {
        Self { write_timeout: timeout, ..self }
    }
}
