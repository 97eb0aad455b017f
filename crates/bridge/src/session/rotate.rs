//! A refresh token becomes the next one.

use std::net::IpAddr;

use portcullis_core::{ScopeSet, UnixTime};

use super::{
    Session, Stage, SuspectedReuse,
    grace::GraceUse,
    live::{ActiveTokens, Lifetimes, Previous, SecretSalt, TokenPair},
    secret::Secret,
};
use crate::oauth_error::{ErrorCode, OAuthError};

/// Who presents a refresh token, and what is asked for.
#[derive(Debug)]
pub(crate) struct RotationRequest<'a> {
    pub(crate) token: &'a Secret,
    pub(crate) client_id: &'a str,
    /// Less than was granted, if that is enough. RFC 6749 section 6.
    pub(crate) scopes: Option<&'a ScopeSet>,
    pub(crate) resource: Option<&'a str>,
    /// The address that the request comes from, if it is known.
    pub(crate) from: Option<IpAddr>,
}

/// What becomes of a refresh token.
#[derive(Debug)]
pub(crate) enum Rotation {
    /// It has been replaced.
    Rotated(TokenPair),
    /// It had been, a moment ago: the same again, because the answer may have been lost.
    Repeated {
        pair: TokenPair,
        /// Whether the session has changed: that this token was repeated is remembered.
        is_noted: bool,
        /// What the repetition suggests.
        suspected: Option<SuspectedReuse>,
    },
    /// It had been, and this is no repetition: somebody has a copy. RFC 9700 section 4.14.2.
    Reused(&'static str),
    /// Nothing has changed.
    Refused(OAuthError),
}

impl Session {
    /// Rotates a refresh token.
    ///
    /// The successors follow from the token that is presented and a random salt. So a repetition gets the same ones although only
    /// their hashes are stored, and nobody can tell them who does not have the token.
    pub(crate) fn rotate(&mut self, request: &RotationRequest<'_>, lifetimes: &Lifetimes, now: UnixTime) -> Rotation {
        let Stage::Live(live) = &self.stage else { return refused("the session has ended") };
        let Some(refresh) = &live.refresh else { return refused("there are no refresh tokens in this session") };
        if *self.client_id != *request.client_id {
            return refused("the refresh token was issued to another client");
        }
        if request.resource.is_some_and(|resource| !self.resource.is_named_by(resource)) {
            return Rotation::Refused(OAuthError::new(ErrorCode::InvalidTarget, "the session is for another resource"));
        }
        if let Some(previous) = refresh.previous.as_ref().filter(|previous| previous.token.is_of(request.token)) {
            if now > previous.rotated_at + lifetimes.rotation_grace {
                return Rotation::Reused("a refresh token was presented again after its grace period");
            }
            let (live, previous, grace) = (live.clone(), previous.clone(), refresh.grace.clone());
            return self.repeat(live, (previous, grace), request, lifetimes, now);
        }
        if !refresh.token.is_of(request.token) {
            return Rotation::Reused("an old refresh token was presented");
        }
        let mut salt = [0; 32];
        rand::fill(&mut salt);
        let (access, next) = successors(request.token, &salt);
        let previous = Previous { token: request.token.hash(), salt: SecretSalt(salt), rotated_at: now };
        let (grace, live) = (refresh.grace.after_rotation(request.from), live.clone());
        self.replace(live, (access, next), (previous, grace), request, lifetimes, now)
    }

    /// Hands out what was handed out before. If the access token has expired meanwhile, there is another one beside the same refresh
    /// token.
    fn repeat(
        &mut self,
        mut live: ActiveTokens,
        (previous, mut grace): (Previous, GraceUse),
        request: &RotationRequest<'_>,
        lifetimes: &Lifetimes,
        now: UnixTime,
    ) -> Rotation {
        let (access, refresh) = successors(request.token, &previous.salt.0);
        let before = grace.clone();
        let suspected = grace.repeat(request.from, now);
        let (pair, is_noted) = if let Some(entry) = live.access(access.hash(), now) {
            let scopes = entry.scopes.clone().unwrap_or_else(|| self.scopes.clone());
            let (issued_at, access_expires_at) = (entry.issued_at, entry.expires_at);
            let is_noted = grace != before;
            if let Some(refresh) = live.refresh.as_mut().filter(|_| is_noted) {
                refresh.grace = grace;
                self.stage = Stage::Live(live);
            }
            (TokenPair { access, refresh: Some(refresh), issued_at, access_expires_at, scopes }, is_noted)
        } else {
            match self.replace(live, (Secret::random(), refresh), (previous, grace), request, lifetimes, now) {
                Rotation::Rotated(pair) => (pair, true),
                other => return other,
            }
        };
        Rotation::Repeated { pair, is_noted, suspected }
    }

    /// Puts new tokens in the place of those in `live`.
    fn replace(
        &mut self,
        mut live: ActiveTokens,
        (access, refresh): (Secret, Secret),
        (previous, grace): (Previous, GraceUse),
        request: &RotationRequest<'_>,
        lifetimes: &Lifetimes,
        now: UnixTime,
    ) -> Rotation {
        if live.refresh.as_ref().is_none_or(|refresh| now >= refresh.expires_at) {
            return refused("the refresh token has expired");
        }
        if request.scopes.is_some_and(|scopes| !self.scopes.is_superset(scopes)) {
            let description = "more was asked for than was granted";
            return Rotation::Refused(OAuthError::new(ErrorCode::InvalidScope, description));
        }
        if !live.make_room(now) {
            return Rotation::Refused(OAuthError::rate_limited(60));
        }
        let narrowed = request.scopes.filter(|scopes| scopes.len() < self.scopes.len()).cloned();
        let pair = self.issue(&mut live, (access, Some(refresh)), (Some(previous), grace), narrowed, lifetimes, now);
        self.stage = Stage::Live(live);
        Rotation::Rotated(pair)
    }
}

fn successors(token: &Secret, salt: &[u8; 32]) -> (Secret, Secret) {
    (token.derive("access token", salt), token.derive("refresh token", salt))
}

fn refused(description: &'static str) -> Rotation {
    Rotation::Refused(OAuthError::invalid_grant(description))
}
