//! [`TokenSet`]: the tokens of a grant; and [`CurrentTokens`]: those in this process, and how long they can be used.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AccessToken, BearerToken, Generation, ScopeSet, UnixTime};
use portcullis_oauth::TokenResponse;
use secrecy::SecretString;
use serde_json::{Map, Value};
use tokio::time::Instant;

/// The tokens of a grant. `Debug` prints no token.
#[derive(Clone, Debug)]
pub struct TokenSet {
    access_token: AccessToken,
    refresh_token: Option<SecretString>,
    began_at: UnixTime,
    received_at: UnixTime,
    refresh_expires_at: Option<UnixTime>,
    scopes: ScopeSet,
    extra: Map<String, Value>,
    /// By how much the generation is higher here than in the store: see [`numbered`](Self::numbered).
    offset: u64,
}

impl TokenSet {
    /// Creates the token set of a login at `now` that requested the scopes `asked`. It has generation 0.
    ///
    /// A response that does not name its scopes grants those that were requested
    /// ([RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1)).
    #[must_use]
    pub fn from_login(response: TokenResponse, asked: &ScopeSet, now: UnixTime) -> Self {
        let empty = Self {
            access_token: AccessToken::new(response.access_token.clone(), Generation::default(), None),
            refresh_token: None,
            began_at: now,
            received_at: now,
            refresh_expires_at: None,
            scopes: asked.clone(),
            extra: Map::new(),
            offset: 0,
        };
        empty.update(response, Generation::default(), now)
    }

    /// Returns the token set after a refresh at `now`. It has the next generation.
    ///
    /// What the response omits stays as it was: the refresh token above all
    /// ([RFC 6749 section 6](https://www.rfc-editor.org/rfc/rfc6749#section-6)), its expiry if it is still the same token, the
    /// scopes, and the extra members.
    #[must_use]
    pub fn refreshed(&self, response: TokenResponse, now: UnixTime) -> Self {
        self.clone().update(response, self.generation().next(), now)
    }

    /// Returns the token set of an acquisition at `now`, which presented no refresh token. It has the next generation of the same grant.
    ///
    /// The refresh token is that of the response, or none: the earlier one was refused, or there was none.
    pub(crate) fn reacquired(&self, response: TokenResponse, now: UnixTime) -> Self {
        self.without_refresh_token().update(response, self.generation().next(), now)
    }

    /// Returns these tokens, of a login, as the next generation of the grant that `earlier` belongs to; without `earlier`, as generation
    /// `floor`.
    pub(crate) fn following(mut self, earlier: Option<&Self>, floor: Generation) -> Self {
        if let Some(earlier) = earlier {
            (self.began_at, self.offset) = (earlier.began_at, earlier.offset);
        }
        self.with_generation(earlier.map_or(floor, |earlier| earlier.generation().next().max(floor)))
    }

    /// Returns these tokens, as they are in the store, with the generation that they have in this process.
    ///
    /// Callers compare generations, so those of one process only grow, also from one login to the next. If the tokens are of the same
    /// login as the `current` ones, both are numbered alike; else they get `floor` at least.
    pub(crate) fn numbered(self: &Arc<Self>, current: Option<&Self>, floor: Generation) -> Arc<Self> {
        let stored = self.stored_generation();
        let offset = match current {
            Some(current) if current.is_of_same_login(self) => current.offset,
            _ => floor.number().saturating_sub(stored.number()),
        };
        if offset == self.offset {
            return Arc::clone(self);
        }
        let mut numbered = Self::clone(self);
        numbered.offset = offset;
        Arc::new(numbered.with_generation(Generation::new(stored.number().saturating_add(offset))))
    }

    fn with_generation(mut self, generation: Generation) -> Self {
        self.access_token = AccessToken::new(self.access_token.token().clone(), generation, self.expires_at());
        self
    }

    /// Returns the generation that these tokens have in the store, for all processes.
    pub(crate) const fn stored_generation(&self) -> Generation {
        Generation::new(self.generation().number().saturating_sub(self.offset))
    }

    pub(crate) fn without_refresh_token(&self) -> Self {
        Self { refresh_token: None, refresh_expires_at: None, ..self.clone() }
    }

    fn update(mut self, response: TokenResponse, generation: Generation, now: UnixTime) -> Self {
        // Providers that do not know the lifetime state zero: no token expires the moment it is issued.
        let stated = response.expires_in.filter(|lifetime| !lifetime.is_zero());
        let expires_at = stated.map(|lifetime| now + lifetime).or(response.expires_at);
        self.access_token = AccessToken::new(response.access_token, generation, expires_at);
        self.received_at = now;
        let refresh_expires_at = response.refresh_expires_in.map(|lifetime| now + lifetime);
        match response.refresh_token {
            Some(refresh_token) => {
                (self.refresh_token, self.refresh_expires_at) = (Some(refresh_token), refresh_expires_at);
            }
            None => self.refresh_expires_at = refresh_expires_at.or(self.refresh_expires_at),
        }
        if let Some(scopes) = response.scopes {
            self.scopes = scopes;
        }
        self.extra.extend(response.further);
        self
    }

    /// Returns the access token.
    #[must_use]
    pub const fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    /// Returns the refresh token.
    #[must_use]
    pub const fn refresh_token(&self) -> Option<&SecretString> {
        self.refresh_token.as_ref()
    }

    /// Returns the number of refreshes since the login.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.access_token.generation()
    }

    /// Returns when the user logged in. Refreshes do not change it.
    #[must_use]
    pub const fn began_at(&self) -> UnixTime {
        self.began_at
    }

    /// Reports whether both are of the same login, so that their generations can be compared.
    pub(crate) fn is_of_same_login(&self, other: &Self) -> bool {
        self.began_at == other.began_at
    }

    /// Returns when the access token was received.
    #[must_use]
    pub const fn received_at(&self) -> UnixTime {
        self.received_at
    }

    /// Returns when the access token expires, if that is known.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixTime> {
        self.access_token.expires_at()
    }

    /// Returns when the refresh token expires, if that is known. The provider decides; this time only limits how long the grant is
    /// kept.
    #[must_use]
    pub const fn refresh_expires_at(&self) -> Option<UnixTime> {
        self.refresh_expires_at
    }

    /// Returns the granted scopes: those of the last response that names scopes, or the requested ones if there is none.
    ///
    /// Empty means that nothing was granted. A GitHub App has permissions instead, which no response contains: there it is always
    /// the requested scopes, and **no evidence** of anything.
    #[must_use]
    pub const fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// Returns further members of the token response, such as Salesforce's `instance_url`.
    #[must_use]
    pub const fn extra(&self) -> &Map<String, Value> {
        &self.extra
    }

    /// Returns the time after which none of the tokens can be used; `None` if that is not known.
    #[must_use]
    pub fn unusable_after(&self) -> Option<UnixTime> {
        match (&self.refresh_token, self.refresh_expires_at) {
            (Some(_), None) => None,
            (Some(_), Some(refresh_expires_at)) => self.expires_at().map(|end| end.max(refresh_expires_at)),
            (None, _) => self.expires_at(),
        }
    }

    pub(crate) fn restored(
        token: BearerToken,
        generation: Generation,
        expires_at: Option<UnixTime>,
        rest: Restored,
    ) -> Self {
        Self {
            access_token: AccessToken::new(token, generation, expires_at),
            refresh_token: rest.refresh_token,
            began_at: rest.began_at,
            received_at: rest.received_at,
            refresh_expires_at: rest.refresh_expires_at,
            scopes: rest.scopes,
            extra: rest.extra,
            offset: 0,
        }
    }
}

/// What is stored with the access token.
pub(crate) struct Restored {
    pub(crate) refresh_token: Option<SecretString>,
    pub(crate) began_at: UnixTime,
    pub(crate) received_at: UnixTime,
    pub(crate) refresh_expires_at: Option<UnixTime>,
    pub(crate) scopes: ScopeSet,
    pub(crate) extra: Map<String, Value>,
}

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

    /// Replaces the tokens by others with the same access token.
    pub(crate) fn set_tokens(&mut self, tokens: Arc<TokenSet>) {
        self.tokens = tokens;
    }

    /// Returns how long it takes until the [freshness](Self::freshness) changes by itself.
    pub(crate) fn next_change(&self, now: Now) -> Option<Duration> {
        let deadlines = self.deadlines.as_ref()?;
        match self.freshness(now) {
            Freshness::Fresh => Some(deadlines.refresh.left(now)),
            Freshness::Early => Some(deadlines.expiry.left(now)),
            Freshness::Dead => None,
        }
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

    fn left(&self, now: Now) -> Duration {
        let by_calendar = self.calendar.saturating_duration_since(now.calendar);
        self.monotonic.saturating_duration_since(now.monotonic).min(by_calendar)
    }
}
