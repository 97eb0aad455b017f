//! [`UnixTime`] and [`Clock`]: points in time, and the source of the current one.

use std::{fmt, ops::Add, time::Duration};

use serde::{Serialize, Serializer};

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z, never negative.
///
/// Arithmetic saturates, so a claim such as `"exp": 1e300` is the far future and not a panic.
/// [RFC 7519 section 2](https://www.rfc-editor.org/rfc/rfc7519#section-2) (`NumericDate`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The latest representable time.
    pub const MAX: Self = Self(u64::MAX);

    /// Creates the time `seconds` after the epoch.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Creates the time `nanoseconds` after the epoch.
    #[must_use]
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Converts a `NumericDate`, which may have a fraction. Returns `None` if it is negative or not a number.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "float to integer casts saturate, and the sign is checked"
    )]
    pub fn from_numeric_date(seconds: f64) -> Option<Self> {
        (seconds >= 0.0).then_some(Self((seconds * 1e9) as u64))
    }

    /// Returns the whole seconds since the epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Returns the nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the time that has passed since `earlier`, or zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Subtracts `duration`; the result is not before the epoch.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for UnixTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_secs().fmt(f)
    }
}

/// Serializes as whole seconds, like the claim `exp`.
impl Serialize for UnixTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.as_secs())
    }
}

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
    fn absurd_dates_saturate() {
        assert_eq!(UnixTime::from_secs(u64::MAX), UnixTime::MAX);
        assert_eq!(UnixTime::from_numeric_date(1e300), Some(UnixTime::MAX));
        assert_eq!(UnixTime::from_numeric_date(-1.0), None);
        assert_eq!(UnixTime::from_numeric_date(f64::NAN), None);
        assert_eq!(UnixTime::MAX + Duration::MAX, UnixTime::MAX);
        assert_eq!(UnixTime::from_secs(1).saturating_sub(Duration::from_secs(2)), UnixTime::default());
    }

    #[test]
    fn fractions_are_kept() {
        let time = UnixTime::from_numeric_date(1.5).expect("positive");
        assert_eq!(time.saturating_duration_since(UnixTime::from_secs(1)), Duration::from_millis(500));
    }

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
