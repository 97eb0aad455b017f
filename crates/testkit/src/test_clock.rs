//! [`TestClock`]: calendar time that a test sets.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_core::{Clock, UnixTime};
use tokio::{runtime::Handle, time::Instant};

/// Calendar time that a test sets. It begins on 2026-01-01 at midnight UTC; clones are the same clock.
///
/// It follows tokio's time, so a test with paused time moves back-off and token lifetimes together; and it can be moved
/// alone, forwards and backwards, as an operating system's clock is when it is set. Outside a runtime it stands still.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// use std::time::Duration;
///
/// use portcullis_core::Clock;
/// use portcullis_testkit::TestClock;
///
/// let clock = TestClock::new();
/// let start = clock.now();
/// tokio::time::sleep(Duration::from_secs(60)).await; // no time passes if tokio's time is paused
/// assert_eq!(clock.now(), start + Duration::from_secs(60));
///
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(clock.now(), start + Duration::from_secs(3660));
/// clock.set(start);
/// assert_eq!(clock.now(), start);
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct TestClock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    now: UnixTime,
    /// The instant to which `now` belongs, once the clock has been read in a runtime.
    seen_at: Option<Instant>,
}

impl TestClock {
    /// The time of a new clock.
    pub const START: UnixTime = UnixTime::from_secs(1_767_225_600);

    /// Creates a clock that shows [`START`](Self::START).
    #[must_use]
    pub fn new() -> Self {
        Self::starting_at(Self::START)
    }

    /// Creates a clock that shows `start`.
    #[must_use]
    pub fn starting_at(start: UnixTime) -> Self {
        let seen_at = Handle::try_current().is_ok().then(Instant::now);
        Self(Arc::new(Mutex::new(State { now: start, seen_at })))
    }

    /// Moves the clock, and only the clock, forwards.
    pub fn advance(&self, duration: Duration) {
        let mut state = self.synced();
        state.now = state.now + duration;
    }

    /// Moves the clock backwards, as happens to a machine whose clock was fast.
    pub fn step_back(&self, duration: Duration) {
        let mut state = self.synced();
        state.now = state.now.saturating_sub(duration);
    }

    /// Sets the clock.
    pub fn set(&self, now: UnixTime) {
        self.synced().now = now;
    }

    /// The state, with the time that has passed in the runtime since the last look.
    fn synced(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if Handle::try_current().is_ok() {
            let instant = Instant::now();
            let passed = state.seen_at.map_or(Duration::ZERO, |seen| instant.saturating_duration_since(seen));
            state.now = state.now + passed;
            state.seen_at = Some(instant);
        }
        state
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixTime {
        self.synced().now
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn stands_still_outside_a_runtime() {
        let clock = TestClock::new();
        let other_hand = clock.clone();
        other_hand.advance(MINUTE);
        assert_eq!(clock.now(), TestClock::START + MINUTE);
        clock.step_back(MINUTE);
        assert_eq!(other_hand.now(), TestClock::START);
    }

    #[tokio::test(start_paused = true)]
    async fn follows_paused_time_and_can_be_moved_against_it() {
        let clock = TestClock::new();
        tokio::time::advance(MINUTE).await;
        clock.step_back(MINUTE * 2);
        tokio::time::advance(MINUTE).await;
        assert_eq!(clock.now(), TestClock::START);
        clock.set(UnixTime::from_secs(5));
        tokio::time::advance(MINUTE).await;
        assert_eq!(clock.now(), UnixTime::from_secs(65));
    }

    #[test]
    fn a_clock_made_before_the_runtime_follows_it_from_the_first_look() {
        let clock = TestClock::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("runtime").block_on(async {
            assert_eq!(clock.now(), TestClock::START);
            tokio::time::advance(MINUTE).await;
            assert_eq!(clock.now(), TestClock::START + MINUTE);
        });
        assert_eq!(clock.now(), TestClock::START + MINUTE);
    }
}
