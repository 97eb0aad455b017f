//! [`Logins`]: who is at the provider.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_core::{Clock, UnixTime};
use portcullis_grants::{
    StoreError,
    records::{Opened, RecordKey, Records, Table},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use super::pending::Login;
use crate::{
    BridgeConfig,
    oauth_error::{ErrorCode, OAuthError},
};

/// Who is at the provider: found by the hash of the `state` that they come back with.
///
/// Their number is bounded, and that of each client to a tenth of it: somebody who begins logins and never ends them stops that client,
/// and no other one.
#[derive(Debug)]
pub(crate) struct Logins {
    records: Records,
    clock: Arc<dyn Clock>,
    ttl: Duration,
    max: u64,
    stored: Mutex<Stored>,
    begun: Mutex<HashMap<RecordKey, Begun>>,
}

/// How many there are in the store: as it said a moment ago, and those that have come since.
#[derive(Debug, Default)]
struct Stored {
    count: u64,
    counted_at: Option<Instant>,
}

/// One that was begun in this process, and has not come back to it.
#[derive(Debug)]
struct Begun {
    client: RecordKey,
    expires_at: UnixTime,
}

/// How long a count is good.
const COUNTED_FOR: Duration = Duration::from_secs(1);

impl Logins {
    pub(crate) fn new(config: &BridgeConfig, records: Records, clock: Arc<dyn Clock>) -> Self {
        let (ttl, max) = (config.login_ttl, config.max_pending_logins);
        Self { records, clock, ttl, max, stored: Mutex::default(), begun: Mutex::default() }
    }

    /// How long a user may take.
    pub(crate) const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Keeps `login`, which will come back with `state`.
    pub(crate) async fn begin(&self, state: &SecretString, login: &Login) -> Result<(), OAuthError> {
        let (key, expires_at) = (key(state), self.clock.now() + self.ttl);
        self.check_client(key, &login.request.client_id, expires_at)?;
        let kept = self.keep(key, login, expires_at).await;
        if kept.is_err() {
            self.begun().remove(&key);
        }
        kept
    }

    /// The login that comes back with `state`, if there is one. It stays.
    pub(crate) async fn find(&self, state: &SecretString) -> Result<Option<Opened<Login>>, StoreError> {
        self.records.load(key(state)).await
    }

    /// Takes a login out that was found: of any number at once, one gets it.
    pub(crate) async fn take(&self, state: &SecretString, found: Opened<Login>) -> Result<Option<Login>, StoreError> {
        let key = key(state);
        let is_ours = self.records.remove(key, found.version).await?;
        if is_ours {
            self.begun().remove(&key);
            let mut stored = self.stored();
            stored.count = stored.count.saturating_sub(1);
        }
        Ok(is_ours.then_some(found.value))
    }

    async fn keep(&self, key: RecordKey, login: &Login, expires_at: UnixTime) -> Result<(), OAuthError> {
        self.check_count().await?;
        let created = self.records.create(key, login, expires_at).await?;
        // The same 256 random bits twice: nobody's.
        created.map(drop).ok_or_else(|| OAuthError::new(ErrorCode::ServerError, "the server failed"))
    }

    async fn check_count(&self) -> Result<(), OAuthError> {
        let now = Instant::now();
        let is_known = |stored: &Stored| stored.counted_at.is_some_and(|at| now < at + COUNTED_FOR);
        if !is_known(&self.stored()) {
            let count = self.records.count(Table::Logins).await?;
            *self.stored() = Stored { count, counted_at: Some(now) };
        }
        let mut stored = self.stored();
        if stored.count >= self.max {
            return Err(too_many());
        }
        stored.count += 1;
        Ok(())
    }

    fn check_client(&self, login: RecordKey, client_id: &str, expires_at: UnixTime) -> Result<(), OAuthError> {
        let client = RecordKey::of(Table::Clients, &[client_id.as_bytes()]);
        let now = self.clock.now();
        let mut begun = self.begun();
        begun.retain(|_, login| now < login.expires_at);
        let of_client = begun.values().filter(|login| login.client == client).count();
        if of_client as u64 >= (self.max / 10).max(1) {
            return Err(too_many());
        }
        begun.insert(login, Begun { client, expires_at });
        Ok(())
    }

    /// What is done under the locks neither waits nor panics half-way.
    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<RecordKey, Begun>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many() -> OAuthError {
    OAuthError::new(ErrorCode::TemporarilyUnavailable, "too many logins are pending")
}

fn key(state: &SecretString) -> RecordKey {
    RecordKey::of(Table::Logins, &[state.expose_secret().as_bytes()])
}
