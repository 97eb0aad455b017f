//! [`ClientAssertions`]: client authentication by `private_key_jwt`.

use std::sync::Arc;

use http::Uri;
use moka::sync::Cache;
use portcullis_core::{AuthError, Clock, Issuer, Reason};
use portcullis_egress::{Egress, EgressError, EgressErrorKind, MaxBody};
use portcullis_oauth::{
    assertion::ClientAssertionPolicy,
    jwt::{HeaderCheckedJwt, KeySet, SignedJwt, UnverifiedJwt},
};
use portcullis_remote::RemoteKeySet;
use portcullis_store::{RecordKey, SealedStore};

use crate::collections;
use crate::{
    clients::{Client, ClientKeys, ClientSource},
    limits::{Caller, RateLimits},
    oauth_error::{ErrorCode, OAuthError},
};

/// The capacity of each of the two caches of key sets.
const MAX_KEY_SETS: u64 = 1000;

/// The maximum size of a client's key set.
const MAX_KEY_SET: usize = 64 * 1024;

/// Verifies client assertions: `private_key_jwt`. [RFC 7523 section 3](https://www.rfc-editor.org/rfc/rfc7523#section-3)
#[derive(Debug)]
pub(super) struct ClientAssertions {
    audience: Issuer,
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
        audience: Issuer,
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
        Self { audience, records, egress, limits, clock, configured: key_sets(), named: key_sets() }
    }

    /// Reports whether `jwt`, which `caller` presents, is a valid assertion of `client`, signed with one of its `keys`, and not a replay.
    ///
    /// # Errors
    /// `temporarily_unavailable` if that cannot be determined: the keys or the store cannot be reached, or a rate limit applies.
    pub(super) async fn verify(
        &self,
        client: &Client,
        keys: &ClientKeys,
        jwt: UnverifiedJwt,
        caller: &Caller,
    ) -> Result<bool, OAuthError> {
        match self.check(client, keys, jwt, caller).await {
            Ok(is_first) => Ok(is_first),
            Err(CheckError::Rejected(error)) if !error.is_transient() => {
                tracing::info!(reason = error.reason().as_str(), "client assertion rejected");
                Ok(false)
            }
            Err(CheckError::Rejected(error)) => {
                tracing::warn!(
                    client_id = client.id(),
                    reason = error.reason().as_str(),
                    "client key set cannot be fetched"
                );
                Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, "client key set cannot be fetched"))
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
        let policy = ClientAssertionPolicy::new(client.id(), self.audience.clone());
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
