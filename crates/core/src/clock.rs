//! [`Clock`]: what time it is, as an argument.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use crate::UnixTime;

/// What time it is, by the calendar.
///
/// Token claims are compared with this clock. Durations inside the process (back-off, cool-down, time-outs) are measured
/// by the runtime's monotonic clock instead, so a stepped wall clock does not stretch them.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> UnixTime;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl SystemClock {
    /// The operating system's clock.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where time comes in")]
    fn now(&self) -> UnixTime {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        UnixTime::default() + since_epoch.unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_is_past_2026() {
        assert!(SystemClock::new().now() > UnixTime::from_secs(1_767_225_600));
    }
}
