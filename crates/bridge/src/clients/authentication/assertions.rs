//! [`ClientAssertions`]: clients that prove by a signature who they are.

use std::sync::Arc;

use http::Uri;
use moka::sync::Cache;
use portcullis_core::{AuthError, Clock, Issuer, Reason};
use portcullis_egress::{Egress, EgressError, EgressErrorKind, MaxBody};
use portcullis_grants::records::{Collection, RecordKey, SealedStore};
use portcullis_oauth::{
    assertion::ClientAssertionPolicy,
    jwt::{HeaderCheckedJwt, KeySet, SignedJwt, UnverifiedJwt},
};
use portcullis_remote::RemoteKeySet;

use crate::{
    clients::{Client, ClientKeys, Origin},
    limits::{Caller, Limits},
    oauth_error::{ErrorCode, OAuthError},
};

/// So many places with keys of clients are remembered; of others the keys are fetched again.
const MAX_KEY_SETS: u64 = 1000;

/// Key sets of clients are no larger: one key is enough.
const MAX_KEY_SET: usize = 64 * 1024;

/// Judges assertions of clients: `private_key_jwt`. [RFC 7523 section 3](https://www.rfc-editor.org/rfc/rfc7523#section-3)
#[derive(Debug)]
pub(in crate::clients) struct ClientAssertions {
    audience: Issuer,
    records: SealedStore,
    egress: Egress,
    limits: Limits,
    clock: Arc<dyn Clock>,
    /// Of clients that the operator knows: fetched when they have to be.
    configured: Cache<Box<str>, RemoteKeySet>,
    /// Of all others.
    named: Cache<Box<str>, RemoteKeySet>,
}

impl ClientAssertions {
    pub(in crate::clients) fn new(
        audience: Issuer,
        records: SealedStore,
        egress: Egress,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let egress = egress.with_check(|request| {
            request.extensions_mut().insert(MaxBody::new(MAX_KEY_SET));
            Ok(())
        });
        let key_sets = || Cache::new(MAX_KEY_SETS);
        Self { audience, records, egress, limits, clock, configured: key_sets(), named: key_sets() }
    }

    /// Whether `jwt`, which `caller` presents, is signed by `client` with one of its `keys`, for us, and is here for the first time.
    ///
    /// # Errors
    /// `temporarily_unavailable` if nobody can tell: the keys or the store cannot be reached, or the keys may not be fetched now.
    pub(in crate::clients) async fn accept(
        &self,
        client: &Client,
        keys: &ClientKeys,
        jwt: UnverifiedJwt,
        caller: &Caller,
    ) -> Result<bool, OAuthError> {
        match self.judge(client, keys, jwt, caller).await {
            Ok(is_first) => Ok(is_first),
            Err(Unaccepted::Refused(error)) if !error.is_transient() => {
                tracing::info!(reason = error.reason().as_str(), "a client's assertion is refused");
                Ok(false)
            }
            Err(Unaccepted::Refused(error)) => {
                tracing::warn!(
                    client_id = client.id(),
                    reason = error.reason().as_str(),
                    "a client's keys cannot be fetched"
                );
                Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, "the client's keys cannot be fetched"))
            }
            Err(Unaccepted::Unjudged(error)) => Err(error),
        }
    }

    async fn judge(
        &self,
        client: &Client,
        keys: &ClientKeys,
        jwt: UnverifiedJwt,
        caller: &Caller,
    ) -> Result<bool, Unaccepted> {
        let policy = ClientAssertionPolicy::new(client.id(), self.audience.clone());
        let checked = policy.check_header(jwt)?;
        let signed = match keys {
            ClientKeys::Jwks(jwks) => verify(jwks, checked)?,
            ClientKeys::JwksUri(url) => self.key_set(client, url, caller)?.verified(checked).await?,
        };
        let evidence = policy.check(signed, self.clock.now())?;
        let is_limited = client.origin != Origin::Configured;
        if is_limited {
            self.limits.may_sign(client.id(), client.is_used).map_err(Unaccepted::Unjudged)?;
        }
        let key = RecordKey::of(
            Collection::REPLAYS,
            &[b"client assertion", client.id().as_bytes(), evidence.jti().as_bytes()],
        );
        let created = self.records.create(key, &(), evidence.accepted_until()).await;
        let is_first = created.map_err(|error| Unaccepted::Unjudged(error.into()))?.is_some();
        if is_limited && is_first {
            self.limits.has_signed(client.id(), client.is_used);
        }
        Ok(is_first)
    }

    /// The keys at `url`. Whoever names the place of its keys could name many of somebody else's: such are fetched as rarely as
    /// documents.
    fn key_set(&self, client: &Client, url: &str, caller: &Caller) -> Result<RemoteKeySet, Unaccepted> {
        let key_sets = if client.origin == Origin::Configured { &self.configured } else { &self.named };
        if let Some(known) = key_sets.get(url) {
            return Ok(known);
        }
        let uri: Uri = url.parse().map_err(|error| AuthError::new(Reason::KeySetUnavailable).with_source(error))?;
        let egress = match client.origin {
            Origin::Configured => self.egress.clone(),
            Origin::Document | Origin::Registered => {
                let host = uri.host().unwrap_or_default();
                self.limits.may_fetch_key_set(caller, host).map_err(Unaccepted::Unjudged)?;
                self.limited()
            }
        };
        Ok(key_sets.get_with(url.into(), || RemoteKeySet::at(uri, egress)))
    }

    fn limited(&self) -> Egress {
        let limits = self.limits.clone();
        self.egress.clone().with_check(move |request| {
            let limited = |_| EgressError::new(EgressErrorKind::BackingOff, request.uri());
            limits.may_fetch_key_set_again(request.uri().host().unwrap_or_default()).map_err(limited)
        })
    }
}

fn verify(jwks: &serde_json::Value, jwt: HeaderCheckedJwt) -> Result<SignedJwt, AuthError> {
    let keys = KeySet::parse(jwks.to_string().as_bytes())?;
    let key = keys.select(&jwt).ok_or_else(|| AuthError::new(Reason::UnknownKey))?;
    jwt.verify(key)
}

/// Why an assertion is not accepted.
enum Unaccepted {
    Refused(AuthError),
    /// Nobody can tell.
    Unjudged(OAuthError),
}

impl From<AuthError> for Unaccepted {
    fn from(error: AuthError) -> Self {
        Self::Refused(error)
    }
}
