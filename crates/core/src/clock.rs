//! [`Clock`]: the source of calendar time, which tests can replace.

use std::fmt;

use crate::UnixTime;

/// A source of calendar time.
///
/// Token claims are compared with this clock. Durations inside the process (back-off, cool-down, time-outs) are measured
/// by the runtime's monotonic clock instead, so that a change of the system time does not change them.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the current time.
    fn now(&self) -> UnixTime;
}

/// The operating system's clock.
///
/// On Linux this is the coarse clock, which has a resolution of up to ten milliseconds and is six times as fast to read. It is read
/// for every request, and tokens have a resolution of seconds.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl SystemClock {
    /// Creates the clock.
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
        // A system time before 1970 counts as 1970.
        UnixTime::from_nanos(
            seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanoseconds.unwrap_or(0)),
        )
    }
}

#[cfg(not(target_os = "linux"))]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the only place that reads the calendar time")]
    fn now(&self) -> UnixTime {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        UnixTime::default() + since_epoch.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the clock to compare with")]
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
