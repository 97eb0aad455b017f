//! A grant and everything that may happen to it, as seen from outside.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use portcullis_core::{AuthError, Generation, Reason, UnixTime};
use tokio::time::Instant;

use super::{
    super::{
        Now,
        refusal_evidence::Verdict,
        state::{Answer, Errand, Landing, Slot, Tuning},
    },
    support::{LIFETIME, Number, first, response, tuning, unavailable},
};
use crate::TokenSet;

/// What may happen to a grant, in any order.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Ask,
    /// A token of up to so many generations ago is reported.
    Refuse(u64),
    /// Time goes by: seconds of both clocks.
    Pass(u64),
    /// The calendar is put forward, or back.
    Step(i64),
    Land(Fate),
    /// Somebody else has brought tokens, and they are saved: so many generations on.
    Settle(u64),
    /// The user logs out.
    End,
}

/// What becomes of the flight under way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Exchanged {
        expires_in: Option<u64>,
    },
    Transient,
    Ambiguous,
    Refused,
    /// In words that nobody knows, after the provider accepted something else or not: a failure until it is proved to be an end.
    Unexplained {
        accepted: bool,
    },
    Spared,
}

/// A grant and everything that is known of it from outside.
pub(super) struct World {
    pub(super) slot: Slot<Number>,
    pub(super) now: Now,
    pub(super) flights: usize,
    pub(super) under_way: Option<Errand>,
    pub(super) current: Arc<TokenSet>,
    pub(super) refused: HashSet<Generation>,
    /// How often the refresh token of a generation was presented, and whether the last time went unanswered.
    pub(super) presented: HashMap<Generation, (usize, bool)>,
    pub(super) exchanges: u64,
    /// By the monotonic clock.
    pub(super) dies_at: Option<Instant>,
    /// The generation whose refresh token may be spent.
    pub(super) suspect: Option<Generation>,
    pub(super) resting_until: Option<Instant>,
    pub(super) breaker_until: Option<Instant>,
    pub(super) ended: bool,
    /// Refusals in unknown words of the current refresh token: when, and whether something was accepted before it.
    pub(super) unexplained: Vec<(Generation, Instant, bool)>,
    pub(super) tuning: Tuning,
}

impl World {
    pub(super) fn new(spare_suspects: bool) -> Self {
        let now = Now { monotonic: Instant::now(), calendar: UnixTime::from_secs(1_800_000_000) };
        let (mut slot, current) = (Slot::new(), first(now.calendar));
        slot.settle(now, &current, tuning(spare_suspects));
        Self {
            slot,
            now,
            flights: 0,
            under_way: None,
            current,
            refused: HashSet::new(),
            presented: HashMap::new(),
            exchanges: 0,
            dies_at: Some(now.monotonic + LIFETIME),
            suspect: None,
            resting_until: None,
            breaker_until: None,
            ended: false,
            unexplained: Vec::new(),
            tuning: tuning(spare_suspects),
        }
    }

    /// By either clock, or because somebody said so.
    pub(super) fn is_dead(&self) -> bool {
        let by_calendar = self.current.expires_at().is_some_and(|end| self.now.calendar >= end);
        let by_age = self.dies_at.is_some_and(|end| self.now.monotonic >= end);
        by_calendar || by_age || self.refused.contains(&self.current.generation())
    }

    pub(super) fn ask(&mut self, refused: Option<Generation>) {
        let is_current = refused == Some(self.current.generation());
        let in_breaker = self.breaker_until.is_some_and(|until| self.now.monotonic < until);
        if is_current && !in_breaker && !self.ended {
            self.refused.insert(self.current.generation());
        }
        let mut started = None;
        let number = Number(self.flights);
        let answer = self.slot.ask(self.now, refused, self.tuning, |errand| {
            started = Some(errand);
            number
        });
        if let Some(errand) = started {
            assert!(self.under_way.is_none(), "two flights at once");
            assert!(!self.ended, "a flight for a grant that has ended");
            assert!(self.resting_until.is_none_or(|until| self.now.monotonic >= until), "a flight in the window");
            assert_eq!(errand.dead, Some(self.current.generation()), "a flight for something else");
            let is_suspect = self.suspect == Some(self.current.generation());
            assert!(
                !self.tuning.spare_suspects || !is_suspect || self.is_dead(),
                "a token that may be spent is not spared"
            );
            self.flights += 1;
            self.under_way = Some(errand);
        }
        match answer {
            Answer::Tokens(tokens) => {
                assert!(!self.ended);
                assert!(!self.is_dead(), "a token known to be dead");
                assert_eq!(tokens.generation(), self.current.generation());
                assert!(refused.is_none_or(|refused| tokens.generation() > refused), "what was refused came back");
            }
            Answer::Wait { .. } => {
                assert!(self.under_way.is_some(), "a wait for nothing");
                assert!(self.is_dead(), "a wait although the token is good");
            }
            Answer::Fail(error) if self.ended => assert_eq!(error.reason(), Reason::GrantEnded),
            Answer::Fail(error) => {
                assert!(error.is_transient(), "logged out by a failure");
                assert!(error.retry_after().is_some(), "nobody says when to come back");
            }
        }
    }

    /// Tokens so many generations on, from elsewhere; older or equal ones change nothing.
    pub(super) fn settle(&mut self, ahead: u64) {
        let mut tokens = Arc::clone(&self.current);
        for _ in 0..ahead {
            tokens = Arc::new(tokens.refreshed(response(Some(LIFETIME)), self.now.calendar));
        }
        self.slot.settle(self.now, &tokens, self.tuning);
        self.resting_until = None;
        if ahead > 0 {
            self.dies_at = Some(self.now.monotonic + LIFETIME);
            self.breaker_until = None;
            self.unexplained.clear();
            self.current = tokens;
        }
    }

    /// Whether the slot says so, and that it says so exactly when there is evidence.
    fn is_proved_dead(&mut self, generation: Generation, accepted: bool) -> bool {
        let now = self.now.monotonic;
        let verdict = self.slot.note_unexplained(self.now, generation, accepted.then_some(now));
        let last = self.unexplained.last().copied();
        let is_other =
            |(of, at, _): (Generation, Instant, bool)| of != generation || now - at >= Duration::from_hours(24);
        if last.is_some_and(is_other) {
            self.unexplained.clear();
        }
        self.unexplained.push((generation, now, accepted));
        let first = self.unexplained[0].1;
        let after = self.unexplained.iter().filter(|(_, at, accepted)| *accepted && *at > first).count();
        let is_dead = self.unexplained.len() >= 3 && now - first >= Duration::from_mins(1) && after >= 2;
        assert_eq!(matches!(verdict, Verdict::Dead { .. }), is_dead, "{:?}", self.unexplained);
        is_dead
    }

    pub(super) fn land(&mut self, fate: Fate) {
        let Some(errand) = self.under_way.take() else { return };
        if self.ended {
            let tokens = Arc::new(self.current.refreshed(response(Some(LIFETIME)), self.now.calendar));
            let outcome = self.slot.land(self.now, &errand, Landing::Exchanged(tokens), self.tuning);
            assert_eq!(outcome.expect_err("it ended meanwhile").reason(), Reason::GrantEnded);
            return;
        }
        let based_on = errand.known.clone().expect("tokens");
        let generation = based_on.generation();
        let spare = matches!(fate, Fate::Spared);
        if !spare {
            let (times, unanswered) = self.presented.entry(generation).or_default();
            assert!(*times == 0 || *unanswered, "a refresh token was presented twice");
            *times += 1;
            *unanswered = matches!(fate, Fate::Ambiguous | Fate::Transient | Fate::Unexplained { .. });
        }
        let landing = match fate {
            Fate::Exchanged { expires_in } => {
                self.exchanges += 1;
                let renewed = based_on.refreshed(response(expires_in.map(Duration::from_secs)), self.now.calendar);
                let renewed = Arc::new(renewed);
                self.resting_until = None;
                // Somebody else may have brought newer ones meanwhile.
                if renewed.generation() > self.current.generation() {
                    self.current = Arc::clone(&renewed);
                    let life = self.current.expires_at().map(|end| end.saturating_duration_since(self.now.calendar));
                    self.dies_at = life.map(|life| self.now.monotonic + life);
                    self.breaker_until = errand.refused.then(|| self.now.monotonic + Duration::from_secs(10));
                }
                Landing::Exchanged(renewed)
            }
            Fate::Transient => Landing::Failed { error: unavailable(), ambiguous: false },
            Fate::Ambiguous => {
                self.suspect = Some(generation);
                Landing::Failed { error: unavailable(), ambiguous: true }
            }
            Fate::Refused => {
                self.ended = true;
                Landing::Ended { error: AuthError::new(Reason::GrantEnded), outlived: false }
            }
            Fate::Unexplained { accepted } if self.is_proved_dead(generation, accepted) => {
                self.ended = true;
                Landing::Ended { error: AuthError::new(Reason::GrantEnded), outlived: false }
            }
            Fate::Unexplained { .. } => Landing::Failed { error: unavailable(), ambiguous: false },
            Fate::Spared => {
                self.suspect = Some(generation);
                Landing::Spared
            }
        };
        let outcome = self.slot.land(self.now, &errand, landing, self.tuning);
        match fate {
            Fate::Exchanged { .. } | Fate::Spared => assert!(outcome.is_ok()),
            Fate::Unexplained { .. } if self.ended => {
                assert_eq!(outcome.expect_err("ended").reason(), Reason::GrantEnded);
            }
            Fate::Refused => assert_eq!(outcome.expect_err("ended").reason(), Reason::GrantEnded),
            Fate::Transient | Fate::Ambiguous | Fate::Unexplained { .. } => {
                let error = outcome.expect_err("failed");
                self.resting_until = Some(self.now.monotonic + error.retry_after().expect("a window"));
            }
        }
        assert!(self.exchanges <= self.current.generation().number(), "more exchanges than generations");
    }
}
