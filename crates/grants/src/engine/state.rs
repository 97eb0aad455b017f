//! [`Slot`]: what is known of one grant, as a state machine. No I/O, no runtime, no clock.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AuthError, Generation, Reason};
use tokio::time::Instant;

use super::{
    Now,
    current_tokens::{Current, Freshness},
    refusal_evidence::{Refusals, Verdict},
};
use crate::TokenSet;

/// For so long after a refused token was replaced a refusal of the new one starts no exchange: another one would not help.
const BREAKER: Duration = Duration::from_secs(10);

/// What is known of one grant. `F` is a flight: an exchange, or a look into the store, that everybody waits for.
#[derive(Debug)]
pub(crate) struct Slot<F> {
    current: Option<Current>,
    flight: Option<F>,
    failure: Option<Failure>,
    /// How many flights have failed since one arrived.
    failures: u32,
    /// The refresh token of this generation may be spent.
    suspect: Option<Generation>,
    /// How its refresh token was refused, if nobody knows why.
    refusals: Option<Refusals>,
    ended: Option<AuthError>,
    /// It has ended, and the store does not know.
    outlived: bool,
}

#[derive(Debug)]
struct Failure {
    until: Instant,
    error: AuthError,
}

/// A flight as the machine sees it.
pub(crate) trait Flight: Clone {
    /// Whether it is over without having landed: its runtime stopped.
    fn is_lost(&self) -> bool;
}

/// What a flight is for.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    /// The tokens in this process, if there are any.
    pub(crate) known: Option<Arc<TokenSet>>,
    /// Up to this generation no token will do.
    pub(crate) dead: Option<Generation>,
    /// The provider said so itself.
    pub(crate) refused: bool,
}

impl Errand {
    /// Whether `tokens` are what it is for, by their generation.
    pub(crate) fn is_done_by(&self, tokens: &TokenSet) -> bool {
        self.dead.is_none_or(|dead| tokens.generation() > dead)
    }
}

/// What whoever asks gets.
#[derive(Debug)]
pub(crate) enum Answer<F> {
    Tokens(Arc<TokenSet>),
    /// `joined`: it was under way already.
    Wait {
        flight: F,
        joined: bool,
    },
    Fail(AuthError),
}

/// What a flight came to.
#[derive(Debug)]
pub(crate) enum Landing {
    /// The store had what was wanted.
    Found(Arc<TokenSet>),
    /// The provider gave new tokens.
    Exchanged(Arc<TokenSet>),
    /// Nothing was done: the refresh token may be spent, and the access token still works.
    Spared,
    /// It failed; `ambiguous`: the refresh token may be spent.
    Failed { error: AuthError, ambiguous: bool },
    /// The grant is at its end; `outlived`: its row could not be removed.
    Ended { error: AuthError, outlived: bool },
}

/// How the machine is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// How long before its expiry a token is renewed, at most.
    pub(crate) margin: Duration,
    /// Whether a token that may be spent is spared while there is another way.
    pub(crate) spare_suspects: bool,
    /// A number between 0 and 1, by chance.
    pub(crate) jitter: fn() -> f64,
    /// For how long nothing is tried after a failure: by the number of failures before it, and what the provider asks for.
    pub(crate) window: fn(u32, Option<Duration>) -> Duration,
}

impl<F: Flight> Slot<F> {
    pub(crate) const fn new() -> Self {
        Self {
            current: None,
            flight: None,
            failure: None,
            failures: 0,
            suspect: None,
            refusals: None,
            ended: None,
            outlived: false,
        }
    }

    /// Somebody wants a token; `refused` is the generation of one that the provider did not take. `take_off` starts a flight.
    pub(crate) fn ask(
        &mut self,
        now: Now,
        refused: Option<Generation>,
        tuning: Tuning,
        take_off: impl FnOnce(Errand) -> F,
    ) -> Answer<F> {
        if let Some(error) = &self.ended {
            return Answer::Fail(error.clone());
        }
        if let Some(error) = self.note_refusal(now, refused) {
            return Answer::Fail(error);
        }
        if self.flight.as_ref().is_some_and(Flight::is_lost) {
            self.flight = None;
        }
        let freshness = self.current.as_ref().map(|current| current.freshness(now));
        // A refusal of a token newer than ours: another process has renewed it, and we have not heard.
        let unheard = refused > self.generation();
        match (freshness, &self.current) {
            (Some(Freshness::Fresh), Some(current)) if !unheard => Answer::Tokens(Arc::clone(&current.tokens)),
            (Some(Freshness::Early), Some(current)) if !unheard => {
                let tokens = Arc::clone(&current.tokens);
                let spared = tuning.spare_suspects && self.suspect == Some(tokens.generation());
                if self.flight.is_none() && self.resting(now).is_none() && !spared {
                    let dead = Some(tokens.generation());
                    self.flight = Some(take_off(Errand { known: Some(Arc::clone(&tokens)), dead, refused: false }));
                }
                Answer::Tokens(tokens)
            }
            _ => self.wait(now, refused, take_off),
        }
    }

    /// There is no token that would do.
    fn wait(&mut self, now: Now, refused: Option<Generation>, take_off: impl FnOnce(Errand) -> F) -> Answer<F> {
        if let Some(flight) = &self.flight {
            return Answer::Wait { flight: flight.clone(), joined: true };
        }
        if let Some(error) = self.resting(now) {
            return Answer::Fail(error);
        }
        // Whoever reported it: the token of this process, or a newer one.
        let is_refused = self.current.as_ref().is_some_and(|current| current.refused);
        let errand = Errand {
            known: self.current.as_ref().map(|current| Arc::clone(&current.tokens)),
            dead: refused.max(self.generation()),
            refused: is_refused || refused > self.generation(),
        };
        let flight = take_off(errand);
        self.flight = Some(flight.clone());
        Answer::Wait { flight, joined: false }
    }

    /// Notes that the current token is dead; `Some` if it has just come in place of another that was refused.
    fn note_refusal(&mut self, now: Now, refused: Option<Generation>) -> Option<AuthError> {
        let current = self.current.as_mut().filter(|current| Some(current.tokens.generation()) == refused)?;
        if let Some(replaced_at) = current.replaced_refused_at {
            let rest = (replaced_at + BREAKER).saturating_duration_since(now.monotonic);
            if !rest.is_zero() {
                return Some(AuthError::new(Reason::FreshTokenRefused).with_retry_after(rest));
            }
        }
        current.refuse();
        None
    }

    /// The failure that is the answer until its window is over.
    fn resting(&self, now: Now) -> Option<AuthError> {
        let failure = self.failure.as_ref()?;
        let rest = failure.until.saturating_duration_since(now.monotonic);
        (!rest.is_zero()).then(|| failure.error.clone().with_retry_after(rest))
    }

    fn generation(&self) -> Option<Generation> {
        self.current.as_ref().map(|current| current.tokens.generation())
    }

    /// A flight is over. What those who waited for it get.
    pub(crate) fn land(
        &mut self,
        now: Now,
        errand: &Errand,
        landing: Landing,
        tuning: Tuning,
    ) -> Result<Arc<TokenSet>, AuthError> {
        self.flight = None;
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        match landing {
            Landing::Found(tokens) => {
                self.settle(now, &tokens, tuning);
                Ok(tokens)
            }
            Landing::Exchanged(tokens) => {
                self.settle(now, &tokens, tuning);
                let current = self.current.as_mut().filter(|current| Arc::ptr_eq(&current.tokens, &tokens));
                if let Some(current) = current.filter(|_| errand.refused) {
                    current.replaced_refused_at = Some(now.monotonic);
                }
                Ok(tokens)
            }
            Landing::Spared => {
                self.suspect = errand.dead;
                let current = self.current.as_ref().map(|current| Arc::clone(&current.tokens));
                current.ok_or_else(|| AuthError::new(Reason::BackingOff))
            }
            Landing::Failed { error, ambiguous } => {
                let window = (tuning.window)(self.failures, error.retry_after());
                self.failures = self.failures.saturating_add(1);
                self.failure = Some(Failure { until: now.monotonic + window, error: error.clone() });
                if ambiguous {
                    self.suspect = errand.dead;
                }
                Err(error.with_retry_after(window))
            }
            Landing::Ended { error, outlived } => {
                self.end(error.clone(), outlived);
                Err(error)
            }
        }
    }

    /// The provider refused the refresh token of `generation`, and did not say whether the token or this server is at fault;
    /// `accepted_at`: when it had last accepted the credentials of this server.
    pub(crate) fn note_unexplained(
        &mut self,
        now: Now,
        generation: Generation,
        accepted_at: Option<Instant>,
    ) -> Verdict {
        let (refusals, verdict) = Refusals::noted(self.refusals, generation, now.monotonic, accepted_at);
        self.refusals = Some(refusals);
        verdict
    }

    /// These are the tokens from now on, unless there are newer ones, or the grant has ended meanwhile.
    pub(crate) fn settle(&mut self, now: Now, tokens: &Arc<TokenSet>, tuning: Tuning) {
        (self.failure, self.failures) = (None, 0);
        let is_new = self.generation().is_none_or(|known| tokens.generation() > known);
        if is_new && self.ended.is_none() {
            self.refusals = None;
            self.current = Some(Current::new(Arc::clone(tokens), now, tuning.margin, (tuning.jitter)()));
        }
    }

    /// The grant is at its end, for good; `outlived` by its row. The tokens that it had.
    pub(crate) fn end(&mut self, error: AuthError, outlived: bool) -> Option<Arc<TokenSet>> {
        self.outlived = outlived;
        self.ended = Some(error);
        self.current.take().map(|current| current.tokens)
    }

    /// The tokens, if they are fresh and nobody has to be asked.
    pub(crate) fn peek(&self, now: Now, refused: Option<Generation>) -> Option<&TokenSet> {
        let current = self.current.as_ref().filter(|current| current.freshness(now) == Freshness::Fresh)?;
        (refused < Some(current.tokens.generation())).then_some(&current.tokens)
    }

    /// Whether there is a token that works, so that nobody has to wait.
    pub(crate) fn works(&self, now: Now, refused: Option<Generation>) -> bool {
        let current = self.current.as_ref().filter(|current| current.freshness(now) != Freshness::Dead);
        current.is_some_and(|current| refused < Some(current.tokens.generation()))
    }

    /// Whether it has ended, and the store knows.
    pub(crate) const fn is_gone(&self) -> bool {
        self.ended.is_some() && !self.outlived && self.flight.is_none()
    }

    /// Whether it holds something that the store does not know: it must not be forgotten.
    pub(crate) fn is_busy(&self, now: Now) -> bool {
        // A token whose time is over is dead for everybody: there is nothing to remember of it.
        let is_doubtful = self.current.as_ref().is_some_and(|current| {
            let is_suspect = self.suspect == Some(current.tokens.generation());
            (current.refused || is_suspect) && !current.is_over(now)
        });
        let is_accused =
            self.ended.is_none() && self.refusals.is_some_and(|refusals| !refusals.has_lapsed(now.monotonic));
        self.flight.is_some() || self.resting(now).is_some() || is_doubtful || is_accused || self.outlived
    }
}
