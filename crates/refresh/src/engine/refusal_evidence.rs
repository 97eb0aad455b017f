//! [`RefusalEvidence`]: refusals of one refresh token for a reason that no standard defines, and whether they prove that it is dead.

use std::time::Duration;

use portcullis_core::Generation;
use tokio::time::Instant;

/// This number of refusals proves that a refresh token is dead. A smaller number may be due to a firewall or a short outage.
const REFUSALS: u32 = 3;

/// The refusals have to span at least this time.
const PERIOD: Duration = Duration::from_mins(1);

/// At least this number of them has to come from requests that were sent after the provider had accepted the credentials of this
/// server: a request that was sent while the operator corrected the credentials proves nothing.
const AFTER_ACCEPTANCE: u32 = 2;

/// After this time without another refusal the earlier ones prove nothing.
const LAPSE: Duration = Duration::from_hours(24);

/// Refusals of one refresh token for a reason that no standard defines. They start anew with another generation, and after a lapse.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefusalEvidence {
    generation: Generation,
    first: Instant,
    last: Instant,
    count: u32,
    after_acceptance: u32,
    /// The operator has been told that a decision by hand may be needed.
    is_logged: bool,
}

/// What the refusals prove.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// They do not prove anything yet.
    Insufficient,
    /// The refresh token is refused repeatedly, and this server may be at fault: its credentials were not accepted since.
    /// `is_new`: this has not been logged yet.
    Undecided { refusals: u32, is_new: bool },
    /// The refresh token is dead.
    Dead { refusals: u32 },
}

impl RefusalEvidence {
    const fn start(generation: Generation, now: Instant) -> Self {
        Self { generation, first: now, last: now, count: 0, after_acceptance: 0, is_logged: false }
    }

    /// Adds a refusal of the refresh token of `generation` to the evidence `before`. `accepted_at` is when the provider had last
    /// accepted the credentials of this server before the request was sent.
    pub(super) fn add(
        before: Option<Self>,
        generation: Generation,
        now: Instant,
        accepted_at: Option<Instant>,
    ) -> (Self, Verdict) {
        let before = before.filter(|before| before.generation == generation && !before.has_lapsed(now));
        let mut evidence = before.unwrap_or_else(|| Self::start(generation, now));
        evidence.last = now;
        evidence.count = evidence.count.saturating_add(1);
        if accepted_at > Some(evidence.first) {
            evidence.after_acceptance = evidence.after_acceptance.saturating_add(1);
        }
        let verdict = evidence.verdict();
        (evidence, verdict)
    }

    fn verdict(&mut self) -> Verdict {
        let refusals = self.count;
        if refusals < REFUSALS || self.last.saturating_duration_since(self.first) < PERIOD {
            return Verdict::Insufficient;
        }
        if self.after_acceptance >= AFTER_ACCEPTANCE {
            return Verdict::Dead { refusals };
        }
        let is_new = !std::mem::replace(&mut self.is_logged, true);
        Verdict::Undecided { refusals, is_new }
    }

    /// Reports whether the refusals are too old to prove anything.
    pub(super) fn has_lapsed(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= LAPSE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAD: Verdict = Verdict::Dead { refusals: 3 };

    /// Returns the verdict after refusals at these seconds. `accepted` is when the provider accepted the credentials.
    fn verdict(refusals: &[u64], accepted: Option<u64>) -> Verdict {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let generation = Generation::new(7);
        let mut state = (None, Verdict::Insufficient);
        for &seconds in refusals {
            let accepted_at = accepted.filter(|accepted| *accepted < seconds).map(at);
            let (evidence, verdict) = RefusalEvidence::add(state.0, generation, at(seconds), accepted_at);
            state = (Some(evidence), verdict);
        }
        state.1
    }

    #[test]
    fn enough_refusals_over_enough_time_after_an_acceptance_prove_that_a_refresh_token_is_dead() {
        assert_eq!(verdict(&[10, 30, 70], Some(20)), DEAD);
        assert_eq!(verdict(&[10, 70], Some(20)), Verdict::Insufficient, "two are not enough");
        assert_eq!(verdict(&[10, 30, 69], Some(20)), Verdict::Insufficient, "less than a minute is not enough");
        assert_eq!(verdict(&[10, 30, 69, 70], Some(20)), Verdict::Dead { refusals: 4 });
    }

    #[test]
    fn an_acceptance_before_the_first_refusal_or_just_before_the_last_proves_nothing() {
        let undecided = Verdict::Undecided { refusals: 3, is_new: true };
        assert_eq!(verdict(&[10, 30, 70], None), undecided);
        assert_eq!(verdict(&[10, 30, 70], Some(5)), undecided);
        assert_eq!(verdict(&[10, 30, 70], Some(60)), undecided, "the credentials may have been corrected a moment ago");
        assert_eq!(verdict(&[10, 30, 70, 80], None), Verdict::Undecided { refusals: 4, is_new: false }, "logged once");
        assert_eq!(verdict(&[10, 30, 70, 90], Some(60)), Verdict::Dead { refusals: 4 });
    }

    #[test]
    fn refusals_that_are_a_day_apart_are_not_counted_together() {
        assert_eq!(verdict(&[10, 30, 30 + 24 * 3600], Some(20)), Verdict::Insufficient);
        assert_eq!(verdict(&[10, 30, 29 + 24 * 3600], Some(20)), DEAD);
    }

    #[test]
    fn refusals_of_two_generations_are_not_counted_together() {
        let now = Instant::now();
        let (first, _) = RefusalEvidence::add(None, Generation::new(1), now, None);
        let later = now + Duration::from_hours(1);
        let (second, _) = RefusalEvidence::add(Some(first), Generation::new(2), later, Some(later));
        assert_eq!((second.count, second.first), (1, later));
    }
}
