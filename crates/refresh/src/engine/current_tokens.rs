//! [`CurrentTokens`]: the tokens of a grant in this process, and how long they can be used.

use std::{sync::Arc, time::Duration};

use portcullis_core::{Generation, UnixTime};
use tokio::time::Instant;

use crate::TokenSet;

/// After which share of its lifetime a token is refreshed at the earliest.
const EARLIEST_REFRESH: f64 = 0.8;

/// The present, by two clocks: one that is never set, and one that goes on while the machine sleeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) monotonic: Instant,
    pub(crate) calendar: UnixTime,
}

/// The tokens of a grant in this process, with the times at which the access token is to be refreshed and expires.
///
/// Both times are kept by both clocks, and whichever clock reaches its time first counts: a calendar that is set back prolongs
/// nothing, and the monotonic clock may stand still while the machine sleeps.
#[derive(Debug)]
pub(crate) struct CurrentTokens {
    tokens: Arc<TokenSet>,
    /// `None`: the provider did not state a lifetime.
    deadlines: Option<Deadlines>,
    reported_dead: bool,
    replaced_reported_at: Option<Instant>,
}

#[derive(Debug)]
struct Deadlines {
    refresh: Deadline,
    expiry: Deadline,
}

#[derive(Debug)]
struct Deadline {
    monotonic: Instant,
    calendar: UnixTime,
}

/// Whether an access token can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Freshness {
    Fresh,
    /// It works, and is to be refreshed in the background.
    Early,
    /// It has expired, or the provider rejected it.
    Dead,
}

impl CurrentTokens {
    /// Creates the entry for `tokens`. The access token is refreshed at most `margin` before its expiry; `jitter` between 0 and 1
    /// reduces the margin by up to a quarter.
    pub(crate) fn new(tokens: Arc<TokenSet>, now: Now, margin: Duration, jitter: f64) -> Self {
        let deadlines = tokens.expires_at().map(|expires_at| {
            let lifetime = expires_at.saturating_duration_since(tokens.received_at());
            // With a calendar that was set back the token would outlive the lifetime that the provider stated.
            let left = expires_at.saturating_duration_since(now.calendar).min(lifetime);
            // Without a refresh token nothing can be done ahead of the expiry.
            let margin = if tokens.refresh_token().is_some() { margin } else { Duration::ZERO };
            let margin = margin.min(lifetime.mul_f64(1.0 - EARLIEST_REFRESH)).mul_f64(1.0 - jitter / 4.0);
            Deadlines {
                refresh: Deadline {
                    monotonic: now.monotonic + left.saturating_sub(margin),
                    calendar: expires_at.saturating_sub(margin),
                },
                expiry: Deadline { monotonic: now.monotonic + left, calendar: expires_at },
            }
        });
        Self { tokens, deadlines, reported_dead: false, replaced_reported_at: None }
    }

    pub(crate) const fn tokens(&self) -> &Arc<TokenSet> {
        &self.tokens
    }

    pub(crate) fn into_tokens(self) -> Arc<TokenSet> {
        self.tokens
    }

    pub(crate) fn generation(&self) -> Generation {
        self.tokens.generation()
    }

    pub(crate) fn freshness(&self, now: Now) -> Freshness {
        match &self.deadlines {
            _ if self.reported_dead || self.is_expired(now) => Freshness::Dead,
            Some(deadlines) if deadlines.refresh.is_reached(now) => Freshness::Early,
            Some(_) | None => Freshness::Fresh,
        }
    }

    /// Reports whether the access token has expired by its stated lifetime, which every process can see.
    pub(crate) fn is_expired(&self, now: Now) -> bool {
        self.deadlines.as_ref().is_some_and(|deadlines| deadlines.expiry.is_reached(now))
    }

    /// Reports whether a caller stated that the provider rejected the access token.
    pub(crate) const fn is_reported_dead(&self) -> bool {
        self.reported_dead
    }

    pub(crate) fn report_dead(&mut self) {
        self.reported_dead = true;
    }

    /// Returns when these tokens replaced tokens that had been reported as rejected.
    pub(crate) const fn replaced_reported_at(&self) -> Option<Instant> {
        self.replaced_reported_at
    }

    pub(crate) fn set_replaced_reported_at(&mut self, at: Instant) {
        self.replaced_reported_at = Some(at);
    }
}

impl Deadline {
    fn is_reached(&self, now: Now) -> bool {
        now.monotonic >= self.monotonic || now.calendar >= self.calendar
    }
}
