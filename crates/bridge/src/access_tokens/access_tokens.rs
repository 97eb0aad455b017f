//! [`AccessTokens`]: access tokens are minted, and known again.

use portcullis_core::{AuthError, BearerToken, GrantId, Issuer, Reason, UnixTime};
use portcullis_oauth::jwt::{JwtPolicy, KeySet, UnverifiedJwt};
use secrecy::SecretString;
use serde::Serialize;

use super::{AccessTokenKind, SigningKeys};
use crate::{
    BridgeConfig,
    session::{Pair, Presented, SecretHash, Session},
};

/// Access tokens are minted, and known again.
#[derive(Debug)]
pub(crate) struct AccessTokens(Form);

#[derive(Debug)]
enum Form {
    Reference,
    Jwt { keys: SigningKeys, key_set: KeySet, policy: JwtPolicy, issuer: Issuer },
}

/// What is minted for whom.
#[derive(Debug)]
pub(crate) struct Minted<'a> {
    pub(crate) id: GrantId,
    pub(crate) session: &'a Session,
    pub(crate) pair: &'a Pair,
}

/// What a JWT says. [RFC 9068 section 2.2](https://www.rfc-editor.org/rfc/rfc9068#section-2.2)
#[derive(Serialize)]
struct JwtClaims<'a> {
    iss: &'a str,
    sub: String,
    aud: &'a str,
    client_id: &'a str,
    iat: u64,
    exp: u64,
    auth_time: u64,
    /// The hash by which the session knows the token.
    jti: String,
    /// The session.
    sid: String,
    scope: String,
}

/// As RFC 9068 section 2.1 has it.
const TYPE: &str = "at+jwt";

impl AccessTokens {
    pub(crate) fn new(config: &BridgeConfig) -> Self {
        Self(match &config.access_tokens {
            AccessTokenKind::Reference => Form::Reference,
            AccessTokenKind::Jwt(keys) => {
                let issuer = config.issuer.clone();
                // For which of them a token is, its session knows better.
                let resources = config.resources.iter().map(|resource| resource.as_str());
                let policy = JwtPolicy::new(issuer.clone(), config.resources[0].clone()).with_audiences(resources);
                Form::Jwt { keys: keys.clone(), key_set: keys.key_set(), policy, issuer }
            }
        })
    }

    /// The access token of a pair, as the client gets it.
    pub(crate) fn mint(&self, Minted { id, session, pair }: &Minted<'_>) -> SecretString {
        match &self.0 {
            Form::Reference => pair.access.with_session(*id),
            Form::Jwt { keys, issuer, .. } => {
                let claims = JwtClaims {
                    iss: issuer.as_str(),
                    sub: session.user.global_subject(),
                    aud: session.resource.as_str(),
                    client_id: &session.client_id,
                    iat: pair.issued_at.as_secs(),
                    exp: pair.access_expires_at.as_secs(),
                    auth_time: session.began_at.as_secs(),
                    jti: pair.access.hash().into(),
                    sid: id.to_string(),
                    scope: pair.scopes.to_string(),
                };
                keys.sign(TYPE, &claims)
            }
        }
    }

    /// Of which session `token` says it is, and by which hash that knows it.
    ///
    /// Of a reference token nothing is said about its being good. A JWT is of ours: whether it still works is for its session to say.
    ///
    /// # Errors
    /// [`Reason::MalformedToken`] if it is no token of ours, and what [`JwtPolicy`] has against it.
    pub(crate) fn identify(&self, token: &BearerToken, now: UnixTime) -> Result<(GrantId, SecretHash), AuthError> {
        let malformed = || AuthError::new(Reason::MalformedToken);
        if let Some(presented) = Presented::access_token(token.expose_secret()) {
            return Ok((presented.of, presented.secret.hash()));
        }
        let Form::Jwt { key_set, policy, .. } = &self.0 else { return Err(malformed()) };
        let jwt = policy.screen(UnverifiedJwt::parse(token, policy.max_len())?)?;
        let key = key_set.select(&jwt).ok_or_else(|| AuthError::new(Reason::UnknownKey))?;
        let claims = policy.check(jwt.verify(key)?, now)?;
        let text = |name| claims.as_ref().claim(name).and_then(|value| value.as_str());
        let id = text("sid").and_then(|id| id.parse().ok()).ok_or_else(malformed)?;
        let hash = text("jti").and_then(|hash| SecretHash::try_from(hash.to_owned()).ok()).ok_or_else(malformed)?;
        Ok((id, hash))
    }
}
