//! [`Current`]: the tokens of a grant in this process, and until when they are good.

use std::{sync::Arc, time::Duration};

use portcullis_core::UnixTime;
use tokio::time::Instant;

use super::Now;
use crate::TokenSet;

/// At which part of its life a token is renewed at the earliest.
const EARLIEST: f64 = 0.8;

/// The tokens of a grant in this process, and until when they are good.
///
/// Deadlines are monotonic, so a clock that is put back prolongs nothing; the calendar is looked at as well, because it alone
/// goes on while the machine sleeps.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) tokens: Arc<TokenSet>,
    deadlines: Option<Deadlines>,
    pub(super) refused: bool,
    /// When it came in place of a token that had been refused.
    pub(super) replaced_refused_at: Option<Instant>,
}

#[derive(Debug)]
struct Deadlines {
    early: (Instant, UnixTime),
    hard: (Instant, UnixTime),
}

/// How good a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Freshness {
    Fresh,
    /// It works, and is to be renewed in the background.
    Early,
    /// It is known not to work.
    Dead,
}

impl Current {
    /// `margin` is how long before its expiry a token is renewed, at most; `jitter` between 0 and 1 shortens that by up to a
    /// quarter.
    pub(super) fn new(tokens: Arc<TokenSet>, now: Now, margin: Duration, jitter: f64) -> Self {
        let deadlines = tokens.expires_at().map(|expires_at| {
            let lifetime = expires_at.saturating_duration_since(tokens.received_at());
            // By a clock that was put back it would live longer than it was ever said to.
            let left = expires_at.saturating_duration_since(now.calendar).min(lifetime);
            // Without a refresh token there is nothing to be done ahead of time.
            let margin = if tokens.refresh_token().is_some() { margin } else { Duration::ZERO };
            let margin = margin.min(lifetime.mul_f64(1.0 - EARLIEST)).mul_f64(1.0 - jitter / 4.0);
            let early = now.monotonic + left.saturating_sub(margin);
            Deadlines { early: (early, expires_at.saturating_sub(margin)), hard: (now.monotonic + left, expires_at) }
        });
        Self { tokens, deadlines, refused: false, replaced_refused_at: None }
    }

    pub(super) fn freshness(&self, now: Now) -> Freshness {
        match &self.deadlines {
            _ if self.refused || self.is_over(now) => Freshness::Dead,
            Some(deadlines) if is_past(deadlines.early, now) => Freshness::Early,
            Some(_) | None => Freshness::Fresh,
        }
    }

    /// Whether its time is over, as everybody can see.
    pub(super) fn is_over(&self, now: Now) -> bool {
        self.deadlines.as_ref().is_some_and(|deadlines| is_past(deadlines.hard, now))
    }

    pub(super) fn refuse(&mut self) {
        self.refused = true;
    }
}

fn is_past((monotonic, calendar): (Instant, UnixTime), now: Now) -> bool {
    now.monotonic >= monotonic || now.calendar >= calendar
}
