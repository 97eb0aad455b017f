//! [`Buckets`]: how full whose bucket is.

use std::{
    collections::{HashMap, hash_map::RandomState},
    fmt,
    hash::{BuildHasher as _, Hash},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How often something may happen: so often at once, and then once in a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) at_once: u32,
    pub(super) then_every: Duration,
}

/// A leaky bucket for everyone: what happens fills it by one, time empties it, and nothing happens while it is full.
///
/// Bounded: when there are too many, those are forgotten that are nearest to being empty, so that nobody gets a fresh one by using up
/// the memory.
pub(super) struct Buckets {
    rate: Rate,
    /// When each will be empty. Those that are not here are.
    ///
    /// By keyed hashes of whoever it is: what strangers choose takes no room, and they cannot choose a hash.
    empty_at: Mutex<HashMap<u64, Instant>>,
    hasher: RandomState,
}

/// So many are remembered.
const CAPACITY: usize = 10_000;

/// How much more than full a bucket can be.
const OVERFULL: u32 = 10;

impl Buckets {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, empty_at: Mutex::default(), hasher: RandomState::new() }
    }

    /// Whether it may happen, and if not, when it may. Nothing is counted.
    pub(super) fn look(&self, whose: impl Hash) -> Result<(), Duration> {
        let empty_at = self.lock().get(&self.hasher.hash_one(whose)).copied();
        self.room(empty_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now())))
    }

    /// It has happened.
    pub(super) fn count(&self, whose: impl Hash) {
        let (key, now) = (self.hasher.hash_one(whose), Instant::now());
        let mut buckets = self.lock();
        if buckets.len() >= CAPACITY && !buckets.contains_key(&key) {
            make_room(&mut buckets, now);
        }
        let empty_at = buckets.entry(key).or_insert(now);
        // What happens at the same time overfills it: whoever asks a thousand times at once waits for it afterwards, within reason.
        let most = now + self.rate.then_every * self.rate.at_once * OVERFULL;
        *empty_at = ((*empty_at).max(now) + self.rate.then_every).min(most);
    }

    /// It happens, unless there is no room: then, when it may.
    pub(super) fn take(&self, whose: impl Hash) -> Result<(), Duration> {
        self.look(&whose)?;
        self.count(whose);
        Ok(())
    }

    /// It turned out to be nothing that is limited.
    pub(super) fn give_back(&self, whose: impl Hash) {
        if let Some(empty_at) = self.lock().get_mut(&self.hasher.hash_one(whose)) {
            *empty_at = empty_at.checked_sub(self.rate.then_every).unwrap_or(*empty_at);
        }
    }

    /// Whether there is room in a bucket that will be empty after `level`.
    fn room(&self, level: Duration) -> Result<(), Duration> {
        let most = self.rate.then_every * self.rate.at_once.saturating_sub(1);
        level.checked_sub(most).filter(|wait| !wait.is_zero()).map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        // Nothing panics while the lock is held.
        self.empty_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets those that are empty, or if there are few, a tenth: those that will be soonest.
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

/// By its rate: there are many of them.
impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").field("rate", &self.rate).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const RATE: Rate = Rate { at_once: 3, then_every: Duration::from_secs(10) };

    #[tokio::test(start_paused = true)]
    async fn a_bucket_takes_so_much_at_once_and_then_as_much_as_leaks() {
        let buckets = Buckets::new(RATE);
        for _ in 0..3 {
            assert_eq!(buckets.look("a"), Ok(()));
            buckets.count("a");
        }
        assert_eq!(buckets.look("a"), Err(Duration::from_secs(10)));
        assert_eq!(buckets.look("b"), Ok(()), "another one's");
        advance(Duration::from_secs(4)).await;
        assert_eq!(buckets.look("a"), Err(Duration::from_secs(6)));
        advance(Duration::from_secs(6)).await;
        assert_eq!(buckets.look("a"), Ok(()));
        buckets.count("a");
        assert_eq!(buckets.look("a"), Err(Duration::from_secs(10)), "one more and no other");
        advance(Duration::from_hours(1)).await;
        for _ in 0..3 {
            assert_eq!(buckets.look("a"), Ok(()), "no more than at first is saved up");
            buckets.count("a");
        }
        assert_eq!(buckets.look("a"), Err(Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_at_the_same_time_is_waited_for_afterwards_within_reason() {
        let buckets = Buckets::new(RATE);
        (0..5).for_each(|_| buckets.count("a"));
        assert_eq!(buckets.look("a"), Err(Duration::from_secs(30)), "two too many");
        (0..1000).for_each(|_| buckets.count("a"));
        assert_eq!(buckets.look("a"), Err(Duration::from_secs(280)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_back_is_room() {
        let buckets = Buckets::new(RATE);
        (0..3).for_each(|_| buckets.count("a"));
        buckets.give_back("a");
        assert_eq!(buckets.look("a"), Ok(()));
        buckets.count("a");
        assert!(buckets.look("a").is_err());
        (0..100).for_each(|_| buckets.give_back("a"));
        (0..3).for_each(|_| buckets.count("a"));
        assert!(buckets.look("a").is_err(), "but no more than there is");
    }

    #[tokio::test(start_paused = true)]
    async fn using_up_the_memory_gets_nobody_a_fresh_bucket() {
        let buckets = Buckets::new(RATE);
        (0..3).for_each(|_| buckets.count("guesses"));
        for stranger in 0..10 * CAPACITY {
            buckets.count(stranger);
            assert!(buckets.lock().len() <= CAPACITY);
        }
        assert!(buckets.look("guesses").is_err());
        advance(RATE.then_every * 3).await;
        assert_eq!(buckets.look("guesses"), Ok(()));
    }
}
