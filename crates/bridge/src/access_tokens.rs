//! Access tokens: minting, and identification by the hash that the session stores.

use portcullis_core::{AuthError, BearerToken, GrantId, Issuer, Reason, ResourceUri, UnixTime};
use portcullis_oauth::jwt::{JwtPolicy, KeySet, UnverifiedJwt};
use secrecy::SecretString;
use serde::Serialize;

use crate::{
    BridgeConfig,
    session::{ParsedToken, SecretHash, Session, TokenPair},
    signing_keys::{AccessTokenKind, SigningKeys},
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

/// JWT access tokens: [RFC 9068](https://www.rfc-editor.org/rfc/rfc9068).
#[derive(Debug)]
pub(super) struct Jwts {
    issuer: Issuer,
    keys: SigningKeys,
    key_set: KeySet,
    policy: JwtPolicy,
}

/// The claims of an access token. [RFC 9068 section 2.2](https://www.rfc-editor.org/rfc/rfc9068#section-2.2)
#[derive(Serialize)]
struct JwtClaims<'a> {
    iss: &'a str,
    sub: String,
    aud: &'a str,
    client_id: &'a str,
    iat: u64,
    exp: u64,
    auth_time: u64,
    /// The hash that the session stores.
    jti: String,
    /// The session.
    sid: String,
    scope: String,
}

/// RFC 9068 section 2.1.
const TYPE: &str = "at+jwt";

impl Jwts {
    pub(super) fn new(keys: SigningKeys, config: &BridgeConfig) -> Self {
        let issuer = config.issuer.clone();
        // The session has the resource of the token, so any of them is accepted here.
        let resources = config.resources.iter().map(ResourceUri::as_str);
        let policy = JwtPolicy::new(issuer.clone(), config.resources[0].clone()).with_audiences(resources);
        Self { issuer, key_set: keys.key_set(), keys, policy }
    }

    pub(super) fn mint(&self, Minted { id, session, pair }: &Minted<'_>) -> SecretString {
        let claims = JwtClaims {
            iss: self.issuer.as_str(),
            sub: session.user.global_subject(),
            aud: session.resource.as_str(),
            client_id: &session.client_id,
            iat: pair.issued_at.as_secs(),
            exp: pair.access_expires_at.as_secs(),
            auth_time: session.began_at.as_secs(),
            jti: pair.access.hash().to_text(),
            sid: id.to_string(),
            scope: pair.scopes.to_string(),
        };
        self.keys.sign(TYPE, &claims)
    }

    pub(super) fn identify(&self, token: &BearerToken, now: UnixTime) -> Result<(GrantId, SecretHash), AuthError> {
        let jwt = self.policy.check_header(UnverifiedJwt::parse(token, self.policy.max_len())?)?;
        let key = self.key_set.select(&jwt).ok_or_else(|| AuthError::new(Reason::UnknownKey))?;
        let claims = self.policy.check(jwt.verify(key)?, now)?;
        let text = |name| claims.as_ref().claim(name).and_then(|value| value.as_str());
        let id = text("sid").and_then(|id| id.parse().ok());
        let hash = text("jti").and_then(SecretHash::parse);
        id.zip(hash).ok_or_else(|| AuthError::new(Reason::MalformedToken))
    }
}
