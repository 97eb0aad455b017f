//! [`RateLimiter`]: a leaky bucket for each key.

use std::{
    collections::{HashMap, hash_map::RandomState},
    fmt,
    hash::{BuildHasher as _, Hash},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// A rate: a burst, and then one event in each period.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    burst: u32,
    period: Duration,
}

impl Rate {
    /// Creates a rate of at most `burst` events at once, and then one in each `period`.
    #[must_use]
    pub const fn new(burst: u32, period: Duration) -> Self {
        Self { burst, period }
    }

    /// Returns the rate at which `factor` times as many are allowed.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        Self { burst: self.burst.saturating_mul(factor), period: self.period / factor.max(1) }
    }
}

/// A rate limiter with a leaky bucket for each key: an event fills the bucket by one, time empties it, and a full bucket allows
/// nothing.
///
/// Bounded: of more than 10,000 keys, those whose buckets are nearest to being empty are forgotten, so that a requester does not get a
/// fresh bucket by using up the memory. It counts in one process, in tokio's time.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::time::Duration;
///
/// use portcullis_egress::{Rate, RateLimiter};
///
/// let limiter = RateLimiter::new(Rate::new(1, Duration::from_secs(10)));
/// assert!(limiter.acquire("192.0.2.1").is_ok());
/// assert!(limiter.acquire("192.0.2.1").is_err_and(|wait| wait <= Duration::from_secs(10)));
/// assert!(limiter.acquire("192.0.2.2").is_ok(), "each key has a bucket of its own");
/// # }
/// ```
pub struct RateLimiter {
    rate: Rate,
    /// The times at which the buckets will be empty; a bucket without an entry is empty.
    ///
    /// The keys are keyed hashes: a key that a requester chooses takes no room, and the requester cannot choose its hash.
    empty_at: Mutex<HashMap<u64, Instant>>,
    hasher: RandomState,
}

/// The number of buckets that are remembered.
const CAPACITY: usize = 10_000;

/// The largest level of a bucket, as a multiple of a full one.
const OVERFULL: u32 = 10;

impl RateLimiter {
    /// Creates a limiter in which every bucket is empty.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { rate, empty_at: Mutex::default(), hasher: RandomState::new() }
    }

    /// Checks whether an event is allowed, without recording it.
    ///
    /// # Errors
    /// The time to wait, if the bucket is full.
    pub fn check(&self, key: impl Hash) -> Result<(), Duration> {
        let empty_at = self.lock().get(&self.hasher.hash_one(key)).copied();
        self.room(empty_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now())))
    }

    /// Records an event, allowed or not.
    pub fn record(&self, key: impl Hash) {
        let (key, now) = (self.hasher.hash_one(key), Instant::now());
        let mut buckets = self.lock();
        if buckets.len() >= CAPACITY && !buckets.contains_key(&key) {
            make_room(&mut buckets, now);
        }
        let empty_at = buckets.entry(key).or_insert(now);
        // Events that are checked at the same time overfill the bucket: the next one waits for all of them, within reason.
        let most = now + self.rate.period * self.rate.burst * OVERFULL;
        *empty_at = ((*empty_at).max(now) + self.rate.period).min(most);
    }

    /// Checks whether an event is allowed, and records it if it is.
    ///
    /// # Errors
    /// The time to wait, if the bucket is full.
    pub fn acquire(&self, key: impl Hash) -> Result<(), Duration> {
        self.check(&key)?;
        self.record(key);
        Ok(())
    }

    /// Removes a recorded event that turned out not to be limited.
    pub fn refund(&self, key: impl Hash) {
        if let Some(empty_at) = self.lock().get_mut(&self.hasher.hash_one(key)) {
            *empty_at = empty_at.checked_sub(self.rate.period).unwrap_or(*empty_at);
        }
    }

    /// Checks for room in a bucket that will be empty after `level`.
    fn room(&self, level: Duration) -> Result<(), Duration> {
        let most = self.rate.period * self.rate.burst.saturating_sub(1);
        level.checked_sub(most).filter(|wait| !wait.is_zero()).map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        // No code panics while the lock is held.
        self.empty_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the empty buckets, or if they are few, the tenth that will be empty soonest.
fn make_room(buckets: &mut HashMap<u64, Instant>, now: Instant) {
    buckets.retain(|_, empty_at| *empty_at > now);
    let mut excess = (buckets.len() + CAPACITY / 10).saturating_sub(CAPACITY);
    if excess == 0 {
        return;
    }
    let mut soonest: Vec<_> = buckets.values().copied().collect();
    let (_, last, _) = soonest.select_nth_unstable(excess - 1);
    buckets.retain(|_, empty_at| {
        let goes = excess > 0 && empty_at <= last;
        excess -= usize::from(goes);
        !goes
    });
}

/// Prints the rate only: there may be many buckets.
impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter").field("rate", &self.rate).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const RATE: Rate = Rate::new(3, Duration::from_secs(10));

    #[tokio::test(start_paused = true)]
    async fn a_bucket_allows_a_burst_and_then_one_in_each_period() {
        let buckets = RateLimiter::new(RATE);
        for _ in 0..3 {
            assert_eq!(buckets.check("a"), Ok(()));
            buckets.record("a");
        }
        assert_eq!(buckets.check("a"), Err(Duration::from_secs(10)));
        assert_eq!(buckets.check("b"), Ok(()), "another one's");
        advance(Duration::from_secs(4)).await;
        assert_eq!(buckets.check("a"), Err(Duration::from_secs(6)));
        advance(Duration::from_secs(6)).await;
        assert_eq!(buckets.check("a"), Ok(()));
        buckets.record("a");
        assert_eq!(buckets.check("a"), Err(Duration::from_secs(10)), "one more and no other");
        advance(Duration::from_hours(1)).await;
        for _ in 0..3 {
            assert_eq!(buckets.check("a"), Ok(()), "no more than at first is saved up");
            buckets.record("a");
        }
        assert_eq!(buckets.check("a"), Err(Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn events_at_the_same_time_are_waited_for_within_reason() {
        let buckets = RateLimiter::new(RATE);
        (0..5).for_each(|_| buckets.record("a"));
        assert_eq!(buckets.check("a"), Err(Duration::from_secs(30)), "two too many");
        (0..1000).for_each(|_| buckets.record("a"));
        assert_eq!(buckets.check("a"), Err(Duration::from_secs(280)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refund_makes_room() {
        let buckets = RateLimiter::new(RATE);
        (0..3).for_each(|_| buckets.record("a"));
        buckets.refund("a");
        assert_eq!(buckets.check("a"), Ok(()));
        buckets.record("a");
        assert!(buckets.check("a").is_err());
        (0..100).for_each(|_| buckets.refund("a"));
        (0..3).for_each(|_| buckets.record("a"));
        assert!(buckets.check("a").is_err(), "but no more than there is");
    }

    #[tokio::test(start_paused = true)]
    async fn a_requester_who_uses_up_the_memory_gets_no_fresh_bucket() {
        let buckets = RateLimiter::new(RATE);
        (0..3).for_each(|_| buckets.record("guesses"));
        for key in 0..10 * CAPACITY {
            buckets.record(key);
            assert!(buckets.lock().len() <= CAPACITY);
        }
        assert!(buckets.check("guesses").is_err());
        advance(RATE.period * 3).await;
        assert_eq!(buckets.check("guesses"), Ok(()));
    }
}
