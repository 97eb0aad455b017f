//! [`AccessTokens`]: access tokens are minted, and known again.

use portcullis_core::{AuthError, BearerToken, GrantId, Reason, UnixTime};
use secrecy::SecretString;

use super::{AccessTokenKind, jwts::Jwts};
use crate::{
    BridgeConfig,
    session::{ParsedToken, SecretHash, Session, TokenPair},
};

/// Access tokens are minted, and known again.
#[derive(Debug)]
pub(crate) struct AccessTokens {
    /// If they are that; else they are reference tokens.
    jwts: Option<Jwts>,
}

/// What is minted for whom.
#[derive(Debug)]
pub(crate) struct Minted<'a> {
    pub(crate) id: GrantId,
    pub(crate) session: &'a Session,
    pub(crate) pair: &'a TokenPair,
}

impl AccessTokens {
    pub(crate) fn new(config: &BridgeConfig) -> Self {
        let jwts = match &config.access_tokens {
            AccessTokenKind::Reference => None,
            AccessTokenKind::Jwt(keys) => Some(Jwts::new(keys.clone(), config)),
        };
        Self { jwts }
    }

    /// The access token of a pair, as the client gets it.
    pub(crate) fn mint(&self, minted: &Minted<'_>) -> SecretString {
        match &self.jwts {
            None => minted.pair.access.access_token(minted.id),
            Some(jwts) => jwts.mint(minted),
        }
    }

    /// Of which session `token` says it is, and by which hash that knows it. Whether it works is for the session to say.
    ///
    /// # Errors
    /// [`Reason::MalformedToken`] if it is no token of ours, and what a [`JwtPolicy`](portcullis_oauth::jwt::JwtPolicy) has against it.
    pub(crate) fn identify(&self, token: &BearerToken, now: UnixTime) -> Result<(GrantId, SecretHash), AuthError> {
        match (ParsedToken::access_token(token.expose_secret()), &self.jwts) {
            (Some(presented), _) => Ok((presented.of, presented.secret.hash())),
            (None, Some(jwts)) => jwts.identify(token, now),
            (None, None) => Err(AuthError::new(Reason::MalformedToken)),
        }
    }
}
