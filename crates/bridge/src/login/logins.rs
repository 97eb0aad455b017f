//! [`PendingLogins`]: who is at the provider.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_core::Clock;
use portcullis_grants::{
    StoreError, Version,
    records::{Collection, Record, RecordKey, SealedStore},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use super::{
    begun::{Crowd, PendingLoginIndex},
    pending::Login,
};
use crate::{
    BridgeConfig,
    limits::Caller,
    oauth_error::{ErrorCode, OAuthError},
};

/// Who is at the provider: found by the hash of the `state` that they come back with.
///
/// Their number is bounded. If there are too many, a newcomer is not turned away: where the most are from, the oldest one is forgotten.
/// So whoever begins logins and never ends them displaces their own.
#[derive(Debug)]
pub(crate) struct PendingLogins {
    records: SealedStore,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    max: u64,
    stored: Mutex<Stored>,
    begun: Mutex<PendingLoginIndex>,
}

/// How many there are in the store: as it said a moment ago, and those that have come since.
#[derive(Debug, Default)]
struct Stored {
    count: u64,
    counted_at: Option<Instant>,
}

/// How long a count is good.
const COUNTED_FOR: Duration = Duration::from_secs(1);

impl PendingLogins {
    pub(crate) fn new(config: &BridgeConfig, records: SealedStore, clock: Arc<dyn Clock>) -> Self {
        let (ttl, max) = (config.login_ttl, config.max_pending_logins);
        Self { records, clock, ttl, max, stored: Mutex::default(), begun: Mutex::default() }
    }

    /// How long a user may take.
    pub(crate) const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Keeps `login`, which `caller` begins and which will come back with `state`.
    pub(crate) async fn begin(&self, state: &SecretString, login: &Login, caller: &Caller) -> Result<(), OAuthError> {
        let (key, expires_at) = (key(state), self.clock.now() + self.ttl);
        self.make_room().await?;
        let created = self.records.create(key, login, expires_at).await?;
        // The same 256 random bits twice: nobody's.
        let version = created.ok_or_else(|| OAuthError::new(ErrorCode::ServerError, "the server failed"))?;
        let of_client = || Crowd::Of(RecordKey::of(Collection::CLIENTS, &[login.request.client_id.as_bytes()]));
        let mut begun = self.begun();
        begun.insert(key, caller.site().map_or_else(of_client, Crowd::At), version, expires_at);
        begun.shrink(usize::try_from(self.max).unwrap_or(usize::MAX), self.clock.now());
        Ok(())
    }

    /// The login that comes back with `state`, if there is one. It stays.
    pub(crate) async fn find(&self, state: &SecretString) -> Result<Option<Record<Login>>, StoreError> {
        self.records.load(key(state)).await
    }

    /// Takes a login out that was found: of any number at once, one gets it.
    pub(crate) async fn take(&self, state: &SecretString, found: Record<Login>) -> Result<Option<Login>, StoreError> {
        let key = key(state);
        let is_ours = self.records.remove(key, found.version).await?;
        if is_ours {
            self.begun().remove(key);
            let mut stored = self.stored();
            stored.count = stored.count.saturating_sub(1);
        }
        Ok(is_ours.then_some(found.value))
    }

    /// Counts one more, and forgets another one if that is too many.
    async fn make_room(&self) -> Result<(), OAuthError> {
        let now = Instant::now();
        let is_known = |stored: &Stored| stored.counted_at.is_some_and(|at| now < at + COUNTED_FOR);
        if !is_known(&self.stored()) {
            let count = self.records.count(Collection::LOGINS).await?;
            *self.stored() = Stored { count, counted_at: Some(now) };
        }
        if self.is_full() {
            let largest = self.begun().take_from_largest();
            let Some((key, version)) = self.or_oldest(largest).await? else { return Err(too_many()) };
            // If it came back meanwhile, there is room for one more as well.
            self.records.remove(key, version).await?;
        } else {
            self.stored().count += 1;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.stored().count >= self.max
    }

    /// If none was begun in this process, it is the oldest there is.
    async fn or_oldest(&self, begun: Option<(RecordKey, Version)>) -> Result<Option<(RecordKey, Version)>, StoreError> {
        if begun.is_some() {
            return Ok(begun);
        }
        let oldest = self.records.next_to_expire(Collection::LOGINS, 1).await?;
        Ok(oldest.first().map(|(key, version, _)| (*key, *version)))
    }

    /// What is done under the locks neither waits nor panics half-way.
    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begun(&self) -> MutexGuard<'_, PendingLoginIndex> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many() -> OAuthError {
    OAuthError::new(ErrorCode::TemporarilyUnavailable, "too many logins are pending")
}

fn key(state: &SecretString) -> RecordKey {
    RecordKey::of(Collection::LOGINS, &[state.expose_secret().as_bytes()])
}
