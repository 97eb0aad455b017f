//! Access tokens: minting, and identification by the hash that the session stores.

use std::sync::Arc;

use portcullis_core::{AuthError, BearerToken, Clock, GrantId, Issuer, Reason, ResourceUri, UnixTime};
use portcullis_oauth::jwt::{JwtPolicy, KeySet, UnverifiedJwt};
use portcullis_store::{SealedStore, StoreError};
use secrecy::SecretString;
use serde::Serialize;

use crate::{
    BridgeConfig,
    clients::for_log,
    session::{ParsedToken, SecretHash, Session, TokenPair},
    signing_keys::{AccessTokenKind, SigningKeys},
    stored_keys::StoredKeys,
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
    pub(crate) fn new(config: &BridgeConfig, records: SealedStore, clock: Arc<dyn Clock>) -> Self {
        let jwts = match &config.access_tokens {
            AccessTokenKind::Reference => None,
            AccessTokenKind::Jwt(keys) => {
                Some(Jwts::new(JwtKeys::Configured(keys.clone(), Arc::new(keys.key_set())), config))
            }
            AccessTokenKind::JwtWithStoredKeys => {
                let keys = StoredKeys::new(records, clock, config.lifetimes.access_token);
                Some(Jwts::new(JwtKeys::Stored(keys), config))
            }
        };
        Self { jwts }
    }

    /// Returns the keys that sign access tokens at present; `None` for reference tokens.
    ///
    /// # Errors
    /// [`StoreError`] if stored keys have not been read yet and cannot be read.
    pub(crate) async fn signing_keys(&self) -> Result<Option<SigningKeys>, StoreError> {
        match self.jwts.as_ref().map(|jwts| &jwts.keys) {
            None => Ok(None),
            Some(JwtKeys::Configured(keys, _)) => Ok(Some(keys.clone())),
            Some(JwtKeys::Stored(stored)) => stored.signing().await.map(Some),
        }
    }

    /// Reads stored keys again, and at a `confirmed` time replaces those that are due.
    pub(crate) async fn maintain_keys(&self, confirmed: Option<UnixTime>) -> Result<(), StoreError> {
        match self.jwts.as_ref().map(|jwts| &jwts.keys) {
            Some(JwtKeys::Stored(stored)) => stored.refresh(confirmed).await,
            Some(JwtKeys::Configured(..)) | None => Ok(()),
        }
    }

    /// Returns the access token of a pair, as the client receives it. `keys` are the [signing keys](Self::signing_keys).
    pub(crate) fn mint(&self, keys: Option<&SigningKeys>, minted: &Minted<'_>) -> SecretString {
        match self.jwts.as_ref().zip(keys) {
            None => minted.pair.access.access_token(minted.id),
            Some((jwts, keys)) => jwts.mint(keys, minted),
        }
    }

    /// Returns the session that `token` names, and the hash that the session stores. It does **not** check that the token is valid.
    ///
    /// # Errors
    /// [`Reason::MalformedToken`] for a foreign token, and the errors of a [`JwtPolicy`](portcullis_oauth::jwt::JwtPolicy).
    /// [`Reason::StoreUnavailable`] if the stored keys cannot be read.
    pub(crate) async fn identify(
        &self,
        token: &BearerToken,
        now: UnixTime,
    ) -> Result<(GrantId, SecretHash), AuthError> {
        match (ParsedToken::access_token(token.expose_secret()), &self.jwts) {
            (Some(presented), _) => Ok((presented.of, presented.secret.hash())),
            (None, Some(jwts)) => jwts.identify(token, now).await,
            (None, None) => Err(AuthError::new(Reason::MalformedToken).with_source(foreign(token))),
        }
    }
}

/// Returns what a token is that this bridge did not issue, for the log. Its issuer is unverified.
fn foreign(token: &BearerToken) -> String {
    const MAX_LEN: usize = 16 * 1024;
    let jwt = Some(token).filter(|token| UnverifiedJwt::is_likely(token));
    let jwt = jwt.and_then(|token| UnverifiedJwt::parse(token, MAX_LEN).ok());
    let issuer = jwt.as_ref().and_then(|jwt| jwt.claimed_issuer().ok()).map(for_log);
    let found = issuer.map_or_else(|| "a token".to_owned(), |issuer| format!("a JWT that names the issuer {issuer:?}"));
    format!("{found} that this bridge did not issue; accepted are only its own access tokens")
}

/// JWT access tokens: [RFC 9068](https://www.rfc-editor.org/rfc/rfc9068).
#[derive(Debug)]
struct Jwts {
    issuer: Issuer,
    keys: JwtKeys,
    policy: JwtPolicy,
}

/// Where the signing keys come from.
#[derive(Debug)]
enum JwtKeys {
    Configured(SigningKeys, Arc<KeySet>),
    Stored(StoredKeys),
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
    fn new(keys: JwtKeys, config: &BridgeConfig) -> Self {
        let issuer = config.issuer.clone();
        // The session has the resource of the token, so any of them is accepted here.
        let resources = config.resources.iter().map(ResourceUri::as_str);
        let policy = JwtPolicy::new(issuer.clone(), config.resources[0].clone()).with_audiences(resources);
        Self { issuer, keys, policy }
    }

    fn mint(&self, keys: &SigningKeys, Minted { id, session, pair }: &Minted<'_>) -> SecretString {
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
        keys.sign(TYPE, &claims)
    }

    async fn identify(&self, token: &BearerToken, now: UnixTime) -> Result<(GrantId, SecretHash), AuthError> {
        let jwt = self.policy.check_header(UnverifiedJwt::parse(token, self.policy.max_len())?)?;
        let key_set = match &self.keys {
            JwtKeys::Configured(_, key_set) => Arc::clone(key_set),
            JwtKeys::Stored(stored) => stored.key_set().await?,
        };
        let key = key_set.select(&jwt).ok_or_else(|| AuthError::new(Reason::UnknownKey))?;
        let claims = self.policy.check(jwt.verify(key)?, now)?;
        let text = |name| claims.as_ref().claim(name).and_then(|value| value.as_str());
        let id = text("sid").and_then(|id| id.parse().ok());
        let hash = text("jti").and_then(SecretHash::parse);
        id.zip(hash).ok_or_else(|| AuthError::new(Reason::MalformedToken))
    }
}
