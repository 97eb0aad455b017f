//! Client authentication: [`Credentials`] of a request, and [`ClientAssertions`].

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, Uri, header};
use moka::sync::Cache;
use portcullis_core::{AuthError, Clock, Issuer, Reason};
use portcullis_egress::{Egress, EgressError, EgressErrorKind, MaxBody};
use portcullis_oauth::{
    assertion::{self, ClientAssertionPolicy},
    jwt::{HeaderCheckedJwt, KeySet, SignedJwt, UnverifiedJwt},
};
use portcullis_remote::RemoteKeySet;
use portcullis_store::{RecordKey, SealedStore};
use secrecy::SecretString;
use url::form_urlencoded;

use super::{Client, ClientKeys, ClientSource};
use crate::{
    BridgeConfig, collections,
    config::Urls,
    limits::{Caller, RateLimits},
    parameters::Parameters,
    response::{ErrorCode, OAuthError},
};

/// [RFC 7523 section 2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2)
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const BASIC: &str = "basic ";

/// What a client learns of a failed authentication, whatever the cause.
pub(super) const AUTHENTICATION_FAILED: &str = "client authentication failed";

/// The client authentication in a request. Nothing in it is verified.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) client_id: String,
    pub(super) proof: Proof,
    /// Whether the `Authorization` header was used. Then an error has a challenge. RFC 6749 section 5.2.
    pub(super) is_in_header: bool,
}

/// What a client presents to authenticate itself.
#[derive(Debug)]
pub(super) enum Proof {
    None,
    Secret(SecretString),
    Assertion(UnverifiedJwt),
}

impl Proof {
    /// Returns what was presented, for the log.
    pub(super) const fn method(&self) -> &'static str {
        match self {
            Self::None => "no authentication",
            Self::Secret(_) => "a client secret",
            Self::Assertion(_) => "a client assertion",
        }
    }
}

/// The id and the secret in the `Authorization` header: `client_secret_basic`.
#[derive(Debug)]
pub(crate) struct BasicCredentials {
    pub(crate) id: String,
    pub(crate) secret: SecretString,
}

impl Credentials {
    /// Reads the client authentication of a request, which must use exactly one method.
    ///
    /// # Errors
    /// `invalid_request` for several methods; `invalid_client` for none, or for two different client ids.
    pub(super) fn from_request(headers: &HeaderMap, form: &Parameters) -> Result<Self, OAuthError> {
        let named = form.optional("client_id");
        let (header, posted, signed) = (
            BasicCredentials::from_headers(headers)?,
            form.optional("client_secret"),
            form.optional("client_assertion"),
        );
        let (client_id, proof, is_in_header) = match (header, posted, signed) {
            (Some(BasicCredentials { id, secret }), None, None) => (id, Proof::Secret(secret), true),
            (None, Some(secret), None) => (required(named)?, Proof::Secret(secret.into()), false),
            (None, None, Some(signed)) => {
                let jwt = client_assertion(form, signed)?;
                let issuer = jwt.claimed_issuer().map_err(|_| invalid("client assertion has no iss"))?.to_owned();
                (issuer, Proof::Assertion(jwt), false)
            }
            (None, None, None) => (required(named)?, Proof::None, false),
            _ => return Err(OAuthError::invalid_request("more than one client authentication method")),
        };
        if named.is_some_and(|named| named != client_id) {
            let error = invalid("client_id differs from the authenticated client");
            return Err(if is_in_header { error.with_challenge() } else { error });
        }
        Ok(Self { client_id, proof, is_in_header })
    }
}

impl BasicCredentials {
    /// Reads the credentials in `headers`, if there are any. Each half was form-encoded before both were encoded as Base64.
    /// [RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1)
    ///
    /// # Errors
    /// `invalid_client` for another scheme, more than one header, or a malformed one.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, OAuthError> {
        let malformed = || invalid("malformed Authorization header").with_challenge();
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => Self::parse(value.as_bytes()).map(Some).ok_or_else(malformed),
            (Some(_), Some(_)) => Err(malformed()),
        }
    }

    fn parse(credentials: &[u8]) -> Option<Self> {
        let (scheme, encoded) = credentials.split_at_checked(BASIC.len())?;
        if !scheme.eq_ignore_ascii_case(BASIC.as_bytes()) {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(encoded.trim_ascii()).ok()?).ok()?;
        let (id, secret) = decoded.split_once(':')?;
        Some(Self { id: form_decoded(id), secret: form_decoded(secret).into() })
    }
}

/// Decodes `text`, if it is form-encoded. Many clients do not encode, so a text with characters that the encoding replaces is taken
/// literally, such as most secrets in Base64.
fn form_decoded(text: &str) -> String {
    let is_encoded = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*-._+%".contains(&byte));
    if !is_encoded {
        return text.to_owned();
    }
    form_urlencoded::parse(text.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

fn required(client_id: Option<&str>) -> Result<String, OAuthError> {
    client_id.map(str::to_owned).ok_or_else(|| invalid("client authentication and client_id are missing"))
}

fn client_assertion(form: &Parameters, signed: &str) -> Result<UnverifiedJwt, OAuthError> {
    if form.required("client_assertion_type")? != JWT_BEARER {
        return Err(OAuthError::invalid_request("unsupported client_assertion_type"));
    }
    assertion::parse(&signed.into()).map_err(|_| invalid("client assertion is not a signed JWT"))
}

fn invalid(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClient, description)
}

/// The capacity of each of the two caches of key sets.
const MAX_KEY_SETS: u64 = 1000;

/// The maximum size of a client's key set.
const MAX_KEY_SET: usize = 64 * 1024;

/// Verifies client assertions: `private_key_jwt`. [RFC 7523 section 3](https://www.rfc-editor.org/rfc/rfc7523#section-3)
#[derive(Debug)]
pub(super) struct ClientAssertions {
    audience: Issuer,
    token_endpoint: String,
    records: SealedStore,
    egress: Egress,
    limits: RateLimits,
    clock: Arc<dyn Clock>,
    /// Key sets of configured clients, which no rate limit applies to.
    configured: Cache<Box<str>, RemoteKeySet>,
    /// Key sets that other clients name.
    named: Cache<Box<str>, RemoteKeySet>,
}

impl ClientAssertions {
    pub(super) fn new(
        config: &BridgeConfig,
        records: SealedStore,
        egress: Egress,
        limits: RateLimits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let egress = egress.with_check(|request| {
            request.extensions_mut().insert(MaxBody::new(MAX_KEY_SET));
            Ok(())
        });
        let key_sets = || Cache::new(MAX_KEY_SETS);
        let (audience, token_endpoint) = (config.issuer.clone(), config.urls().url(Urls::TOKEN));
        Self { audience, token_endpoint, records, egress, limits, clock, configured: key_sets(), named: key_sets() }
    }

    /// Checks that `jwt`, which `caller` presents, is a valid assertion of `client`, signed with one of its `keys`, and not a replay.
    ///
    /// # Errors
    /// `invalid_client` if it is not; `temporarily_unavailable` if that cannot be determined: the keys or the store cannot be reached, or a
    /// rate limit applies.
    pub(super) async fn verify(
        &self,
        client: &Client,
        keys: &ClientKeys,
        jwt: UnverifiedJwt,
        caller: &Caller,
    ) -> Result<(), OAuthError> {
        let cause = |error: &AuthError| format!("{}: {}", error.reason(), error.causes().unwrap_or_default());
        match self.check(client, keys, jwt, caller).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let error = invalid(AUTHENTICATION_FAILED);
                Err(error.with_found("an assertion that was presented before", "one with a new `jti`"))
            }
            Err(CheckError::Rejected(error)) if !error.is_transient() => {
                Err(invalid(AUTHENTICATION_FAILED).with_found(&cause(&error), "a valid client assertion"))
            }
            Err(CheckError::Rejected(error)) => {
                let unavailable =
                    OAuthError::new(ErrorCode::TemporarilyUnavailable, "client key set cannot be fetched");
                let unavailable = unavailable.with_found(&cause(&error), "the keys of the client");
                // Other clients state their keys themselves.
                let is_configured = client.source == ClientSource::Configured;
                Err(if is_configured { unavailable.with_key("bridge.clients") } else { unavailable })
            }
            Err(CheckError::Unavailable(error)) => Err(error),
        }
    }

    async fn check(
        &self,
        client: &Client,
        keys: &ClientKeys,
        jwt: UnverifiedJwt,
        caller: &Caller,
    ) -> Result<bool, CheckError> {
        let policy =
            ClientAssertionPolicy::new(client.id(), self.audience.clone()).with_token_endpoint(&self.token_endpoint);
        let checked = policy.check_header(jwt)?;
        let signed = match keys {
            ClientKeys::Jwks(jwks) => verify_with(jwks, checked)?,
            ClientKeys::JwksUri(url) => self.key_set(client, url, caller)?.verified(checked).await?,
        };
        let evidence = policy.check(signed, self.clock.now())?;
        let is_limited = client.source != ClientSource::Configured;
        if is_limited {
            self.limits.check_assertion(client.id(), client.is_used).map_err(CheckError::Unavailable)?;
        }
        let key = RecordKey::of(
            collections::REPLAYS,
            &[b"client assertion", client.id().as_bytes(), evidence.jti().as_bytes()],
        );
        let created = self.records.create(key, &(), evidence.accepted_until()).await;
        let is_first = created.map_err(|error| CheckError::Unavailable(error.into()))?.is_some();
        if is_limited && is_first {
            self.limits.record_assertion(client.id(), client.is_used);
        }
        Ok(is_first)
    }

    /// Returns the key set at `url`. Clients that are not configured could name URLs of other hosts, so the rate limits of metadata
    /// documents apply to them.
    fn key_set(&self, client: &Client, url: &str, caller: &Caller) -> Result<RemoteKeySet, CheckError> {
        let key_sets = if client.source == ClientSource::Configured { &self.configured } else { &self.named };
        if let Some(known) = key_sets.get(url) {
            return Ok(known);
        }
        let uri: Uri = url.parse().map_err(|error| AuthError::new(Reason::KeySetUnavailable).with_source(error))?;
        let egress = match client.source {
            ClientSource::Configured => self.egress.clone(),
            ClientSource::Document | ClientSource::Registered => {
                let host = uri.host().unwrap_or_default();
                self.limits.acquire_key_set_fetch(caller, host).map_err(CheckError::Unavailable)?;
                self.limited()
            }
        };
        Ok(key_sets.get_with(url.into(), || RemoteKeySet::at(uri, egress)))
    }

    fn limited(&self) -> Egress {
        let limits = self.limits.clone();
        self.egress.clone().with_check(move |request| {
            let limited = |_| EgressError::new(EgressErrorKind::BackingOff, request.uri());
            limits.acquire_key_set_refetch(request.uri().host().unwrap_or_default()).map_err(limited)
        })
    }
}

fn verify_with(jwks: &serde_json::Value, jwt: HeaderCheckedJwt) -> Result<SignedJwt, AuthError> {
    let keys = KeySet::parse(jwks.to_string().as_bytes())?;
    let key = keys.select(&jwt).ok_or_else(|| AuthError::new(Reason::UnknownKey))?;
    jwt.verify(key)
}

/// Why an assertion was not verified.
enum CheckError {
    Rejected(AuthError),
    /// The check could not be completed.
    Unavailable(OAuthError),
}

impl From<AuthError> for CheckError {
    fn from(error: AuthError) -> Self {
        Self::Rejected(error)
    }
}
