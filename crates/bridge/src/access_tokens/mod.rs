//! Access tokens: minting, and identification by the hash that the session stores.

mod jwk;
mod jwts;
mod signing_key;
mod signing_keys;

use portcullis_core::{AuthError, BearerToken, GrantId, Reason, UnixTime};
use secrecy::SecretString;

use jwts::Jwts;
pub use signing_key::InvalidSigningKey;
pub use signing_keys::{AccessTokenKind, SigningKeys};

use crate::{
    BridgeConfig,
    session::{ParsedToken, SecretHash, Session, TokenPair},
};

/// Mints and identifies access tokens.
#[derive(Debug)]
pub(crate) struct AccessTokens {
    /// `None` for reference tokens.
    jwts: Option<Jwts>,
}

/// The session and the tokens of an access token.
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

    /// Returns the access token of a pair, as the client receives it.
    pub(crate) fn mint(&self, minted: &Minted<'_>) -> SecretString {
        match &self.jwts {
            None => minted.pair.access.access_token(minted.id),
            Some(jwts) => jwts.mint(minted),
        }
    }

    /// Returns the session that `token` names, and the hash that the session stores. It does **not** check that the token is valid.
    ///
    /// # Errors
    /// [`Reason::MalformedToken`] for a foreign token, and the errors of a [`JwtPolicy`](portcullis_oauth::jwt::JwtPolicy).
    pub(crate) fn identify(&self, token: &BearerToken, now: UnixTime) -> Result<(GrantId, SecretHash), AuthError> {
        match (ParsedToken::access_token(token.expose_secret()), &self.jwts) {
            (Some(presented), _) => Ok((presented.of, presented.secret.hash())),
            (None, Some(jwts)) => jwts.identify(token, now),
            (None, None) => Err(AuthError::new(Reason::MalformedToken)),
        }
    }
}
