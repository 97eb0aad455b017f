//! [`PendingLogins`]: logins whose user is at the provider.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_core::Clock;
use portcullis_oauth::CodeVerifier;
use portcullis_store::{Record, RecordKey, SealedStore, StoreError, Version};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    AuthorizationRequest,
    consent::{ClientFingerprint, UserIdentity},
    pending_login_index::{PendingLoginIndex, RequestSource},
};
use crate::collections;
use crate::{
    BridgeConfig,
    limits::Caller,
    oauth_error::{ErrorCode, OAuthError},
    session::SecretHash,
};

/// A login whose user was redirected to the provider, after consent.
#[derive(Serialize, Deserialize)]
pub(crate) struct PendingLogin {
    pub(crate) request: AuthorizationRequest,
    /// Whether the client receives refresh tokens.
    pub(crate) is_refreshable: bool,
    /// The client as the user saw it.
    pub(crate) client: ClientFingerprint,
    pub(crate) browser: SecretHash,
    /// The user of the stored consent, if the consent page was skipped.
    pub(crate) consented: Option<UserIdentity>,
    /// The hash of the cookie that the browser must present.
    pub(crate) cookie: SecretHash,
    /// The bridge's PKCE verifier at the provider.
    pub(crate) verifier: [u8; 32],
    /// The `nonce` of the ID token.
    pub(crate) nonce: Box<str>,
}

/// The pending logins, by the hash of their `state`.
///
/// Their number is bounded. At the maximum, a new login is accepted, and the oldest login of the source with the most logins is removed.
/// So a source that begins many logins displaces its own.
#[derive(Debug)]
pub(crate) struct PendingLogins {
    records: SealedStore,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    max: u64,
    stored: Mutex<StoredCount>,
    index: Mutex<PendingLoginIndex>,
}

/// The number of logins in the store: the last count, plus later changes of this process.
#[derive(Debug, Default)]
struct StoredCount {
    count: u64,
    counted_at: Option<Instant>,
}

/// How long a count is used.
const COUNT_TTL: Duration = Duration::from_secs(1);

impl PendingLogin {
    /// Returns the PKCE verifier at the provider.
    pub(crate) fn verifier(&self) -> CodeVerifier {
        CodeVerifier::new(self.verifier)
    }
}

impl PendingLogins {
    pub(crate) fn new(config: &BridgeConfig, records: SealedStore, clock: Arc<dyn Clock>) -> Self {
        let (ttl, max) = (config.login_ttl, config.max_pending_logins);
        Self { records, clock, ttl, max, stored: Mutex::default(), index: Mutex::default() }
    }

    /// Returns the lifetime of a pending login.
    pub(crate) const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Stores `login` of `caller`, under `state`.
    pub(crate) async fn begin(
        &self,
        state: &SecretString,
        login: &PendingLogin,
        caller: &Caller,
    ) -> Result<(), OAuthError> {
        let (key, expires_at) = (key(state), self.clock.now() + self.ttl);
        self.make_room().await?;
        let created = self.records.create(key, login, expires_at).await?;
        // A 256-bit collision cannot happen; treat it as an internal error.
        let version = created.ok_or_else(|| OAuthError::new(ErrorCode::ServerError, "internal error"))?;
        let of_client =
            || RequestSource::Client(RecordKey::of(collections::CLIENTS, &[login.request.client_id.as_bytes()]));
        let mut index = self.index();
        index.insert(key, caller.network().map_or_else(of_client, RequestSource::Network), version, expires_at);
        index.shrink(usize::try_from(self.max).unwrap_or(usize::MAX), self.clock.now());
        Ok(())
    }

    /// Returns the login of `state`, without removing it.
    pub(crate) async fn find(&self, state: &SecretString) -> Result<Option<Record<PendingLogin>>, StoreError> {
        self.records.load(key(state)).await
    }

    /// Removes a login that was found. Of concurrent calls, one gets it.
    pub(crate) async fn take(
        &self,
        state: &SecretString,
        found: Record<PendingLogin>,
    ) -> Result<Option<PendingLogin>, StoreError> {
        let key = key(state);
        let is_removed = self.records.remove(key, found.version).await?;
        if is_removed {
            self.index().remove(key);
            let mut stored = self.stored();
            stored.count = stored.count.saturating_sub(1);
        }
        Ok(is_removed.then_some(found.value))
    }

    /// Counts a new login, and removes another one at the maximum.
    async fn make_room(&self) -> Result<(), OAuthError> {
        let now = Instant::now();
        let is_current = |stored: &StoredCount| stored.counted_at.is_some_and(|at| now < at + COUNT_TTL);
        if !is_current(&self.stored()) {
            let count = self.records.count(collections::LOGINS).await?;
            *self.stored() = StoredCount { count, counted_at: Some(now) };
        }
        if self.is_full() {
            let largest = self.index().take_from_largest();
            let Some((key, version)) = self.or_oldest(largest).await? else { return Err(too_many()) };
            // If it completed meanwhile, there is room as well.
            self.records.remove(key, version).await?;
        } else {
            self.stored().count += 1;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.stored().count >= self.max
    }

    /// Returns `largest`, or the oldest login in the store if this process has none.
    async fn or_oldest(
        &self,
        largest: Option<(RecordKey, Version)>,
    ) -> Result<Option<(RecordKey, Version)>, StoreError> {
        if largest.is_some() {
            return Ok(largest);
        }
        let oldest = self.records.next_to_expire(collections::LOGINS, 1).await?;
        Ok(oldest.first().map(|(key, version, _)| (*key, *version)))
    }

    /// Code under the locks neither waits nor panics.
    fn stored(&self) -> MutexGuard<'_, StoredCount> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn index(&self) -> MutexGuard<'_, PendingLoginIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many() -> OAuthError {
    OAuthError::new(ErrorCode::TemporarilyUnavailable, "too many pending logins")
}

fn key(state: &SecretString) -> RecordKey {
    RecordKey::of(collections::LOGINS, &[state.expose_secret().as_bytes()])
}
