//! [`Credentials`]: the credentials that fail, each with a pause of its own, and those that were accepted.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_core::{Fingerprint, FingerprintState};
use tokio::time::Instant;

use super::{Refusal, window::back_off_window};
use crate::EgressErrorKind;

/// The number of paused credentials that are remembered. The one whose pause ends soonest is forgotten first.
const CAPACITY: usize = 10_000;
/// The least number of accepted credentials that are remembered. Credentials that fail take none of that room.
const ACCEPTED_CAPACITY: usize = 10_000;
/// How long after its pause a credential that fails again is paused for longer than the last time.
const MEMORY: Duration = Duration::from_secs(60);

/// The credentials that fail, each with a pause of its own, and those that were accepted. Both by their hashes, both bounded.
#[derive(Default)]
pub(super) struct Credentials(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    paused: HashMap<Fingerprint, Pause, FingerprintState>,
    /// In two generations: when the newer one is full, the older one is forgotten.
    accepted: [HashSet<Fingerprint, FingerprintState>; 2],
}

struct Pause {
    until: Instant,
    kind: EgressErrorKind,
    failures: u32,
}

impl Credentials {
    /// Returns the refusal of calls with `credential`, if it is paused.
    pub(super) fn paused(&self, credential: Fingerprint) -> Option<Refusal> {
        let memory = self.lock();
        let pause = memory.paused.get(&credential)?;
        let retry_after = pause.until.saturating_duration_since(Instant::now());
        (!retry_after.is_zero()).then_some(Refusal { kind: pause.kind, retry_after })
    }

    /// Pauses `credential` for a time that doubles each time, or for as long as the provider `asked`. Returns that time. The credential no
    /// longer counts as accepted.
    pub(super) fn pause(&self, credential: Fingerprint, kind: EgressErrorKind, asked: Option<Duration>) -> Duration {
        let now = Instant::now();
        let mut memory = self.lock();
        for accepted in &mut memory.accepted {
            accepted.remove(&credential);
        }
        memory.make_room_for(&credential, now);
        let pause = memory.paused.entry(credential).or_insert(Pause { until: now, kind, failures: 0 });
        // Calls that fail together are one failure.
        let earlier = if pause.until > now { pause.failures.saturating_sub(1) } else { pause.failures };
        pause.failures = earlier.saturating_add(1);
        pause.until = pause.until.max(now + back_off_window(earlier, asked));
        pause.kind = kind;
        pause.until.saturating_duration_since(now)
    }

    /// Notes that the provider accepted `credential`.
    pub(super) fn accept(&self, credential: Fingerprint) {
        let mut memory = self.lock();
        memory.paused.remove(&credential);
        let [newer, older] = &mut memory.accepted;
        if newer.len() >= ACCEPTED_CAPACITY && !newer.contains(&credential) {
            *older = mem::take(newer);
        }
        newer.insert(credential);
    }

    /// Reports whether the provider accepted `credential`, and it has not failed since.
    pub(super) fn is_accepted(&self, credential: &Fingerprint) -> bool {
        self.lock().accepted.iter().any(|accepted| accepted.contains(credential))
    }

    /// Reports whether `credential` failed, and has not been accepted since.
    pub(super) fn has_failed(&self, credential: &Fingerprint) -> bool {
        self.lock().paused.contains_key(credential)
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // No code panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn make_room_for(&mut self, credential: &Fingerprint, now: Instant) {
        if let Some(pause) = self.paused.get(credential) {
            if pause.until + MEMORY <= now {
                self.paused.remove(credential);
            }
        } else if self.paused.len() >= CAPACITY {
            self.paused.retain(|_, pause| pause.until > now);
            let soonest = self.paused.iter().min_by_key(|(_, pause)| pause.until).map(|(credential, _)| *credential);
            if let Some(soonest) = soonest.filter(|_| self.paused.len() >= CAPACITY) {
                self.paused.remove(&soonest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_core::BearerToken;
    use tokio::time::advance;

    use super::*;

    const LIMITED: EgressErrorKind = EgressErrorKind::RateLimited;
    const SECOND: Duration = Duration::from_secs(1);

    fn nth(nth: usize) -> Fingerprint {
        BearerToken::new(&nth.to_string()).expect("token").fingerprint()
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_are_bounded_and_the_one_that_ends_soonest_is_forgotten_first() {
        let credentials = Credentials::default();
        credentials.pause(nth(0), LIMITED, None);
        // The longest there is, so that the jitter does not change the order.
        let longest = SECOND * 200;
        for n in 1..CAPACITY {
            credentials.pause(nth(n), LIMITED, Some(longest));
        }
        assert!(credentials.paused(nth(0)).is_some());
        credentials.pause(nth(CAPACITY), LIMITED, Some(longest));
        assert!(credentials.paused(nth(0)).is_none(), "its pause would have ended soonest");
        assert_eq!(credentials.lock().paused.len(), CAPACITY);
        assert!(credentials.paused(nth(CAPACITY)).is_some());

        advance(longest * 2).await;
        credentials.pause(nth(0), LIMITED, None);
        assert_eq!(credentials.lock().paused.len(), 1, "pauses that are over make room");
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_and_a_late_answer_shortens_none() {
        let (credentials, credential) = (Credentials::default(), nth(0));
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let least = SECOND * seconds;
            let pause = credentials.pause(credential, LIMITED, None);
            assert!(least <= pause && pause < least * 5 / 4, "{pause:?}");
            assert!(credentials.pause(credential, LIMITED, None) >= pause, "calls that fail together");
            advance(least * 5 / 4).await;
            assert!(credentials.paused(credential).is_none());
        }
        credentials.pause(credential, LIMITED, Some(SECOND * 60));
        credentials.pause(credential, LIMITED, None);
        let rest = credentials.paused(credential).expect("paused").retry_after;
        assert!(SECOND * 60 <= rest && rest <= SECOND * 75);
        advance(SECOND * 75 + MEMORY).await;
        assert!(credentials.pause(credential, LIMITED, None) < SECOND * 5 / 4, "that was long ago");
    }

    #[tokio::test(start_paused = true)]
    async fn an_accepted_credential_is_remembered_until_it_fails_whatever_other_credentials_do() {
        let credentials = Credentials::default();
        credentials.accept(nth(0));
        for n in 1..=CAPACITY {
            credentials.pause(nth(n), LIMITED, None);
        }
        for n in 1..=ACCEPTED_CAPACITY {
            assert!(credentials.is_accepted(&nth(0)), "{n}");
            credentials.accept(nth(n));
        }
        for n in ACCEPTED_CAPACITY..=2 * ACCEPTED_CAPACITY {
            credentials.accept(nth(n));
        }
        assert!(!credentials.is_accepted(&nth(0)), "it is not remembered for ever");
        credentials.accept(nth(0));
        credentials.pause(nth(0), LIMITED, None);
        assert!(!credentials.is_accepted(&nth(0)));
        credentials.accept(nth(0));
        assert!(credentials.is_accepted(&nth(0)) && credentials.paused(nth(0)).is_none());
    }
}
