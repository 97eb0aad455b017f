//! [`ConfirmedClock`]: calendar time for work that cannot be undone.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portcullis_core::{Clock, UnixTime};
use tokio::time::Instant;

/// A calendar clock whose readings are confirmed by monotonic time, for work that cannot be undone: sweeping rows that have expired,
/// revoking tokens at a provider, ending a grant because it has expired.
///
/// The calendar clock of a machine may be wrong for a while: the machine was resumed, a time server errs, an operator mistypes a year.
/// So a reading counts only if the calendar and the monotonic clock have advanced alike since an earlier reading: for 1 min since the
/// first one, and for 10 min since one in which they differed by more than 1 min. Work that waits for a confirmed reading is late by
/// that time at most, and nothing is lost.
///
/// A clock that is wrong for longer, or from the start, is not noticed. Two values of this type confirm their readings independently.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use std::{sync::Arc, time::Duration};
///
/// use portcullis_store::ConfirmedClock;
/// use portcullis_testkit::TestClock;
/// use tokio::time::sleep;
///
/// let calendar = TestClock::new();
/// let clock = ConfirmedClock::new(Arc::new(calendar.clone()));
/// assert_eq!(clock.now(), Err(Duration::from_secs(60)), "nothing confirms the first reading");
/// sleep(Duration::from_secs(60)).await;
/// assert!(clock.now().is_ok());
/// calendar.advance(Duration::from_secs(365 * 24 * 3600));
/// assert_eq!(clock.now(), Err(Duration::from_secs(600)), "the monotonic clock contradicts it");
/// # }
/// ```
#[derive(Debug)]
pub struct ConfirmedClock {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: Reading,
    /// From when on readings are confirmed, if the clocks go on alike.
    confirmed_from: Instant,
}

/// Both clocks at the same time.
#[derive(Clone, Copy, Debug)]
struct Reading {
    monotonic: Instant,
    calendar: UnixTime,
}

/// How long the clocks have to advance alike after the first reading.
const AFTER_START: Duration = Duration::from_mins(1);
/// How long the clocks have to advance alike after they have differed.
const AFTER_JUMP: Duration = Duration::from_mins(10);
/// The difference between two readings that is no jump: leap seconds, and small corrections.
const TOLERANCE: Duration = Duration::from_mins(1);

impl ConfirmedClock {
    /// Creates a clock that confirms the readings of `clock`, and reads it for the first time.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let last = Reading::of(&*clock);
        let confirmed_from = last.monotonic + AFTER_START;
        Self { clock, state: Mutex::new(State { last, confirmed_from }) }
    }

    /// Returns the calendar time, if it is confirmed.
    ///
    /// # Errors
    /// The time after which a reading can be confirmed.
    pub fn now(&self) -> Result<UnixTime, Duration> {
        let reading = Reading::of(&*self.clock);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = reading.monotonic.saturating_duration_since(state.last.monotonic);
        let jump = difference(state.last.calendar + elapsed, reading.calendar);
        if jump > TOLERANCE {
            tracing::warn!(
                seconds = jump.as_secs(),
                "the calendar clock of this machine was set, or the machine was suspended: rows that expire are kept for ten minutes more"
            );
            state.confirmed_from = reading.monotonic + AFTER_JUMP;
        }
        state.last = reading;
        match state.confirmed_from.saturating_duration_since(reading.monotonic) {
            Duration::ZERO => Ok(reading.calendar),
            left => Err(left),
        }
    }
}

impl Reading {
    fn of(clock: &dyn Clock) -> Self {
        Self { monotonic: Instant::now(), calendar: clock.now() }
    }
}

fn difference(one: UnixTime, other: UnixTime) -> Duration {
    one.saturating_duration_since(other).max(other.saturating_duration_since(one))
}

#[cfg(test)]
mod tests {
    use portcullis_testkit::TestClock;
    use tokio::time::sleep;

    use super::*;

    const YEAR: Duration = Duration::from_hours(365 * 24);

    async fn confirmed() -> (TestClock, ConfirmedClock) {
        let calendar = TestClock::new();
        let clock = ConfirmedClock::new(Arc::new(calendar.clone()));
        sleep(AFTER_START).await;
        (calendar, clock)
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_ahead_and_back_is_not_believed_in_between() {
        let (calendar, clock) = confirmed().await;
        let before = clock.now().expect("a confirmed reading");
        calendar.advance(YEAR);
        for _ in 0..9 {
            assert!(clock.now().is_err(), "a year ahead");
            sleep(Duration::from_mins(1)).await;
        }
        calendar.step_back(YEAR);
        assert_eq!(clock.now(), Err(AFTER_JUMP));
        sleep(AFTER_JUMP).await;
        assert_eq!(clock.now(), Ok(before + Duration::from_mins(9) + AFTER_JUMP));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_stays_where_it_was_set_is_believed_after_a_while() {
        let (calendar, clock) = confirmed().await;
        calendar.advance(YEAR);
        assert_eq!(clock.now(), Err(AFTER_JUMP));
        sleep(AFTER_JUMP).await;
        assert_eq!(clock.now(), Ok(calendar.now()));
    }

    #[tokio::test(start_paused = true)]
    async fn small_corrections_are_no_jump() {
        let (calendar, clock) = confirmed().await;
        for _ in 0..100 {
            calendar.advance(TOLERANCE);
            assert_eq!(clock.now(), Ok(calendar.now()));
            sleep(Duration::from_secs(1)).await;
        }
    }
}
