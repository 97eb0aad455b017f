//! [`Clock`]: what time it is, as an argument.

use std::fmt;

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
///
/// On Linux it is the coarse one, which stands still for up to ten milliseconds and is read six times as fast: it is read for
/// every request, and tokens count in seconds.
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

#[cfg(target_os = "linux")]
impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let (seconds, nanoseconds) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
        // Before 1970 there were no tokens.
        UnixTime::from_nanos(
            seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanoseconds.unwrap_or(0)),
        )
    }
}

#[cfg(not(target_os = "linux"))]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place where time comes in")]
    fn now(&self) -> UnixTime {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        UnixTime::default() + since_epoch.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the other clock to compare with")]
    fn the_system_clock_is_right_to_the_second() {
        let seconds = || {
            std::time::SystemTime::now()
                .duration_since(std::time::SystemTime::UNIX_EPOCH)
                .expect("after 1970")
                .as_secs()
        };
        let (before, now, after) = (seconds(), SystemClock::new().now().as_secs(), seconds());
        assert!((before - 1..=after).contains(&now), "{before} {now} {after}");
    }
}
