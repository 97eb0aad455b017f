//! [`Refusals`]: refusals of one refresh token in words that no standard knows, and whether they prove that it is dead.

use std::time::Duration;

use portcullis_core::Generation;
use tokio::time::Instant;

/// So many refusals prove that a refresh token is dead, and not that a firewall was in the way for a moment.
const REFUSALS: u32 = 3;

/// Over at least so long.
const PERIOD: Duration = Duration::from_mins(1);

/// So many of them were sent after the provider had accepted the credentials of this server: one that was on its way while the operator
/// put them right proves nothing.
const AFTER_ACCEPTANCE: u32 = 2;

/// After so long without another refusal the earlier ones prove nothing any more.
const LAPSE: Duration = Duration::from_hours(24);

/// Refusals of one refresh token in words that no standard knows. Another generation, or time, makes them begin anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusals {
    generation: Generation,
    first: Instant,
    last: Instant,
    count: u32,
    after_acceptance: u32,
    /// The operator has been told that they may have to be decided by hand.
    is_told: bool,
}

/// What refusals prove.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Nothing yet.
    Open,
    /// The refresh token is refused repeatedly, and whether this server is at fault is not known: its credentials were not accepted since.
    /// `is_new`: the operator has not been told.
    Undecided { refusals: u32, is_new: bool },
    /// The refresh token is dead.
    Dead { refusals: u32 },
}

impl Refusals {
    const fn begun(generation: Generation, now: Instant) -> Self {
        Self { generation, first: now, last: now, count: 0, after_acceptance: 0, is_told: false }
    }

    /// Notes a refusal of the refresh token of `generation`, in place of `before`; `accepted_at`: when the provider had last accepted the
    /// credentials of this server before it was asked.
    pub(super) fn noted(
        before: Option<Self>,
        generation: Generation,
        now: Instant,
        accepted_at: Option<Instant>,
    ) -> (Self, Verdict) {
        let before = before.filter(|before| before.generation == generation && !before.has_lapsed(now));
        let mut refusals = before.unwrap_or_else(|| Self::begun(generation, now));
        refusals.last = now;
        refusals.count = refusals.count.saturating_add(1);
        if accepted_at > Some(refusals.first) {
            refusals.after_acceptance = refusals.after_acceptance.saturating_add(1);
        }
        let verdict = refusals.verdict();
        (refusals, verdict)
    }

    fn verdict(&mut self) -> Verdict {
        let refusals = self.count;
        if refusals < REFUSALS || self.last.saturating_duration_since(self.first) < PERIOD {
            return Verdict::Open;
        }
        if self.after_acceptance >= AFTER_ACCEPTANCE {
            return Verdict::Dead { refusals };
        }
        let is_new = !std::mem::replace(&mut self.is_told, true);
        Verdict::Undecided { refusals, is_new }
    }

    /// Whether they are too old to prove anything.
    pub(super) fn has_lapsed(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= LAPSE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAD: Verdict = Verdict::Dead { refusals: 3 };

    /// What refusals at these seconds prove, the last of them; `accepted` is when the provider accepted the credentials.
    fn verdict(refusals: &[u64], accepted: Option<u64>) -> Verdict {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let generation = Generation::new(7);
        let mut noted = (None, Verdict::Open);
        for &seconds in refusals {
            let accepted_at = accepted.filter(|accepted| *accepted < seconds).map(at);
            let (refusals, verdict) = Refusals::noted(noted.0, generation, at(seconds), accepted_at);
            noted = (Some(refusals), verdict);
        }
        noted.1
    }

    #[test]
    fn a_number_over_a_time_after_an_acceptance_proves_that_a_refresh_token_is_dead() {
        assert_eq!(verdict(&[10, 30, 70], Some(20)), DEAD);
        assert_eq!(verdict(&[10, 70], Some(20)), Verdict::Open, "two are too few");
        assert_eq!(verdict(&[10, 30, 69], Some(20)), Verdict::Open, "less than a minute is too short");
        assert_eq!(verdict(&[10, 30, 69, 70], Some(20)), Verdict::Dead { refusals: 4 });
    }

    #[test]
    fn what_was_accepted_before_the_first_refusal_or_just_before_the_last_proves_nothing() {
        let undecided = Verdict::Undecided { refusals: 3, is_new: true };
        assert_eq!(verdict(&[10, 30, 70], None), undecided);
        assert_eq!(verdict(&[10, 30, 70], Some(5)), undecided);
        assert_eq!(verdict(&[10, 30, 70], Some(60)), undecided, "the set-up may have been put right a moment ago");
        assert_eq!(verdict(&[10, 30, 70, 80], None), Verdict::Undecided { refusals: 4, is_new: false }, "told once");
        assert_eq!(verdict(&[10, 30, 70, 90], Some(60)), Verdict::Dead { refusals: 4 });
    }

    #[test]
    fn refusals_that_are_a_day_apart_are_others() {
        assert_eq!(verdict(&[10, 30, 30 + 24 * 3600], Some(20)), Verdict::Open);
        assert_eq!(verdict(&[10, 30, 29 + 24 * 3600], Some(20)), DEAD);
    }

    #[test]
    fn refusals_of_another_generation_are_others() {
        let now = Instant::now();
        let (first, _) = Refusals::noted(None, Generation::new(1), now, None);
        let later = now + Duration::from_hours(1);
        let (second, _) = Refusals::noted(Some(first), Generation::new(2), later, Some(later));
        assert_eq!((second.count, second.first), (1, later));
    }
}
