//! [`ClientAssertions`]: clients that prove by a signature who they are.

use std::sync::Arc;

use http::Uri;
use moka::sync::Cache;
use portcullis_core::{AuthError, Clock, Issuer, Reason};
use portcullis_egress::{Egress, EgressError, EgressErrorKind, MaxBody};
use portcullis_grants::records::{RecordKey, Records, Table};
use portcullis_keys::RemoteKeySet;
use portcullis_oauth::{
    assertion::ClientAssertionPolicy,
    jwt::{KeySet, ScreenedJwt, SignedJwt, UnverifiedJwt},
};

use crate::{
    clients::ClientKeys,
    limits::Limits,
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
    records: Records,
    egress: Egress,
    clock: Arc<dyn Clock>,
    key_sets: Cache<Box<str>, RemoteKeySet>,
}

impl ClientAssertions {
    pub(in crate::clients) fn new(
        audience: Issuer,
        records: Records,
        egress: Egress,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        // Whoever names the place of its keys could name many of somebody else's: they are fetched as rarely as documents.
        let egress = egress.with_check(move |request| {
            let limited = |_| EgressError::new(EgressErrorKind::BackingOff, request.uri());
            limits.may_fetch(request.uri().host().unwrap_or_default()).map_err(limited)?;
            request.extensions_mut().insert(MaxBody::new(MAX_KEY_SET));
            Ok(())
        });
        Self { audience, records, egress, clock, key_sets: Cache::new(MAX_KEY_SETS) }
    }

    /// Whether `jwt` is signed by the client `id`, for us, and is here for the first time.
    ///
    /// # Errors
    /// `temporarily_unavailable` if nobody can tell: the keys or the store cannot be reached.
    pub(in crate::clients) async fn accept(
        &self,
        id: &str,
        keys: &ClientKeys,
        jwt: UnverifiedJwt,
    ) -> Result<bool, OAuthError> {
        match self.judge(id, keys, jwt).await {
            Ok(is_first) => Ok(is_first),
            Err(Unaccepted::Refused(error)) if !error.is_transient() => {
                tracing::info!(reason = error.reason().as_str(), "a client's assertion is refused");
                Ok(false)
            }
            Err(Unaccepted::Refused(_)) => {
                Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, "the client's keys cannot be fetched"))
            }
            Err(Unaccepted::Store(error)) => Err(error),
        }
    }

    async fn judge(&self, id: &str, keys: &ClientKeys, jwt: UnverifiedJwt) -> Result<bool, Unaccepted> {
        let policy = ClientAssertionPolicy::new(id, self.audience.clone());
        let signed = self.verify(keys, policy.screen(jwt)?).await?;
        let evidence = policy.check(signed, self.clock.now())?;
        let key = RecordKey::of(Table::Replays, &[b"client assertion", id.as_bytes(), evidence.jti().as_bytes()]);
        let seen = self.records.create(key, &(), evidence.accepted_until()).await;
        Ok(seen.map_err(|error| Unaccepted::Store(error.into()))?.is_some())
    }

    async fn verify(&self, keys: &ClientKeys, jwt: ScreenedJwt) -> Result<SignedJwt, AuthError> {
        match keys {
            ClientKeys::Jwks(jwks) => {
                let keys = KeySet::parse(jwks.to_string().as_bytes())?;
                let key = keys.select(&jwt).ok_or_else(|| AuthError::new(Reason::UnknownKey))?;
                jwt.verify(key)
            }
            ClientKeys::JwksUri(url) => {
                let uri: Uri =
                    url.parse().map_err(|error| AuthError::new(Reason::KeySetUnavailable).with_source(error))?;
                let remote = || RemoteKeySet::at(uri, self.egress.clone());
                self.key_sets.get_with(url.clone(), remote).verified(jwt).await
            }
        }
    }
}

/// Why an assertion is not accepted.
enum Unaccepted {
    Refused(AuthError),
    Store(OAuthError),
}

impl From<AuthError> for Unaccepted {
    fn from(error: AuthError) -> Self {
        Self::Refused(error)
    }
}
