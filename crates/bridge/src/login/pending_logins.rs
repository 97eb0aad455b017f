//! [`PendingLogins`]: logins that the browser left for the provider, and their index by source.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_core::{Clock, UnixTime};
use portcullis_oauth::CodeVerifier;
use portcullis_store::{Record, RecordKey, SealedStore, StoreError, Version};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    AuthorizationRequest,
    consent::{ClientFingerprint, UserIdentity},
};
use crate::{
    BridgeConfig, collections,
    limits::Caller,
    response::{ErrorCode, OAuthError},
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

/// Orders logins by expiry.
type Ordinal = (UnixTime, RecordKey);

/// The pending logins that began in this process, by source.
///
/// All operations are O(log n): the size is attacker-controlled.
#[derive(Debug, Default)]
pub(super) struct PendingLoginIndex {
    logins: HashMap<RecordKey, Entry>,
    by_end: BTreeSet<Ordinal>,
    sources: HashMap<RequestSource, BTreeSet<Ordinal>>,
    /// The largest source last; among equal ones, the one with the oldest login.
    by_size: BTreeSet<(usize, Reverse<Ordinal>, RequestSource)>,
}

/// The unit of fairness when there are too many logins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum RequestSource {
    /// The network of the caller.
    Network(IpAddr),
    /// The client, for callers without a known address.
    Client(RecordKey),
}

#[derive(Debug)]
struct Entry {
    source: RequestSource,
    version: Version,
    expires_at: UnixTime,
}

impl PendingLoginIndex {
    pub(super) fn len(&self) -> usize {
        self.logins.len()
    }

    /// Adds a login of `source`, which has the version `version` in the store.
    pub(super) fn insert(&mut self, key: RecordKey, source: RequestSource, version: Version, expires_at: UnixTime) {
        self.remove(key);
        self.logins.insert(key, Entry { source, version, expires_at });
        self.by_end.insert((expires_at, key));
        self.resize(source, |logins| {
            logins.insert((expires_at, key));
        });
    }

    /// Removes a login. Returns its version in the store.
    pub(super) fn remove(&mut self, key: RecordKey) -> Option<Version> {
        let Entry { source, version, expires_at } = self.logins.remove(&key)?;
        self.by_end.remove(&(expires_at, key));
        self.resize(source, |logins| {
            logins.remove(&(expires_at, key));
        });
        Some(version)
    }

    /// Removes expired logins, and the oldest beyond `max`.
    pub(super) fn shrink(&mut self, max: usize, now: UnixTime) {
        while let Some((expires_at, oldest)) = self.by_end.first().copied()
            && (expires_at <= now || self.len() > max)
        {
            self.remove(oldest);
        }
    }

    /// Removes and returns the oldest login of the largest source.
    pub(super) fn take_from_largest(&mut self) -> Option<(RecordKey, Version)> {
        let (_, Reverse((_, oldest)), _) = self.by_size.last().copied()?;
        self.remove(oldest).map(|version| (oldest, version))
    }

    fn resize(&mut self, source: RequestSource, change: impl FnOnce(&mut BTreeSet<Ordinal>)) {
        let rank = |logins: &BTreeSet<_>| logins.first().map(|oldest| (logins.len(), Reverse(*oldest), source));
        let logins = self.sources.entry(source).or_default();
        if let Some(old) = rank(logins) {
            self.by_size.remove(&old);
        }
        change(logins);
        match rank(logins) {
            Some(new) => drop(self.by_size.insert(new)),
            None => drop(self.sources.remove(&source)),
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::collections;

    fn key(number: u8) -> RecordKey {
        RecordKey::new(collections::LOGINS, [number; 32])
    }

    fn at(host: u8) -> RequestSource {
        RequestSource::Network(IpAddr::from([192, 0, 2, host]))
    }

    /// One login after the other, each from the network of this number.
    fn index(networks: &[u8]) -> PendingLoginIndex {
        let mut index = PendingLoginIndex::default();
        for (number, network) in (0..).zip(networks) {
            index.insert(key(number), at(*network), Version::new(number.into()), UnixTime::from_secs(number.into()));
        }
        index
    }

    fn taken(index: &mut PendingLoginIndex) -> Option<u64> {
        index.take_from_largest().map(|(_, version)| version.number())
    }

    #[test]
    fn the_oldest_login_of_the_largest_source_is_removed_first() {
        let mut index = index(&[1, 2, 3, 2, 2, 3]);
        let order: Vec<_> = std::iter::from_fn(|| taken(&mut index)).collect();
        assert_eq!(order, [1, 2, 3, 0, 4, 5], "2 has three, then 3 is as large and older, then all are equal");
        assert!(index.sources.is_empty() && index.by_size.is_empty() && index.by_end.is_empty());
    }

    #[test]
    fn completed_and_expired_logins_do_not_count() {
        let mut index = index(&[1, 1, 1, 2, 2]);
        assert_eq!(index.remove(key(1)), Some(Version::new(1)));
        assert_eq!(index.remove(key(1)), None);
        index.shrink(10, UnixTime::from_secs(0));
        assert_eq!(index.len(), 3);
        assert_eq!(taken(&mut index), Some(3), "the larger network");
        index.shrink(1, UnixTime::from_secs(0));
        assert_eq!(taken(&mut index), Some(4), "the older one was too many");
        assert_eq!(taken(&mut index), None);
    }
}
