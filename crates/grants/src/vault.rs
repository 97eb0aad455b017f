//! [`GrantStore`]: a store and the keys for it.

use std::{sync::Arc, time::Duration};

use portcullis_core::{AuthError, GrantId, Reason, UnixTime};

use crate::{
    GrantRecord, KeyRing, Lease, LeaseOutcome, RekeyReport, SealError, StoreError, Swap, TokenStore, Version,
    sealing::{self, Place},
    store::SealedGrant,
};

/// A store and the keys for it: records go in and come out, sealed on the way. Clones are the same vault.
#[derive(Clone, Debug)]
pub struct GrantStore {
    store: Arc<dyn TokenStore>,
    keys: KeyRing,
}

/// The keys would be gone before what they seal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this store outlives the process, but its encryption key would not: configure a key")]
#[non_exhaustive]
pub struct EphemeralKeyError;

/// Why a grant is not created. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There is one of this id. Each login is a grant of its own: take a new random id, and [end](crate::Refresher::delete) the old one.
    #[error("there is a grant of this id already")]
    Exists,
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a request is refused with for it: 503.
impl From<CreateError> for AuthError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Store(error) => error.into(),
            exists @ CreateError::Exists => Self::new(Reason::StoreUnavailable).with_source(exists),
        }
    }
}

/// A record and its version.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredGrant {
    /// In which version it was read.
    pub version: Version,
    /// What is in it.
    pub record: GrantRecord,
}

impl GrantStore {
    /// Grants in `store`, sealed with `keys`, which are **not** tried: [`open`](Self::open) does that.
    ///
    /// # Errors
    /// [`EphemeralKeyError`] if the store is durable and the key is not: after a restart nothing could be read.
    pub fn new(store: Arc<dyn TokenStore>, keys: KeyRing) -> Result<Self, EphemeralKeyError> {
        if store.is_durable() && keys.is_ephemeral() { Err(EphemeralKeyError) } else { Ok(Self { store, keys }) }
    }

    pub(crate) fn store(&self) -> &dyn TokenStore {
        &*self.store
    }

    pub(crate) const fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// The record of `id`.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read; also if it does not open: a key that is missing is our mistake, and no reason to
    /// send users to log in again.
    pub async fn load(&self, id: GrantId) -> Result<Option<StoredGrant>, StoreError> {
        let Some(stored) = self.store.load(id).await? else { return Ok(None) };
        let plain = self.keys.open(Place::Grant(id), &stored.grant.sealed).map_err(unreadable)?;
        let record =
            GrantRecord::from_bytes(&plain).map_err(|error| StoreError::new("reading a record").with_source(error))?;
        Ok(Some(StoredGrant { version: stored.version, record }))
    }

    /// Keeps the record of a new grant, durably.
    ///
    /// # Errors
    /// [`CreateError`] if there is a grant of this id already, or if it cannot be written.
    pub async fn create(&self, id: GrantId, record: &GrantRecord) -> Result<Version, CreateError> {
        match self.swap(id, None, record, None).await? {
            Swap::Written(version) => Ok(version),
            Swap::Conflict | Swap::Fenced => Err(CreateError::Exists),
        }
    }

    /// Writes `record` if the row is still in version `expected`, under `lease`, which is given back.
    pub(crate) async fn swap(
        &self,
        id: GrantId,
        expected: Option<Version>,
        record: &GrantRecord,
        lease: Option<Lease>,
    ) -> Result<Swap, StoreError> {
        let sealed = SealedGrant::new(
            self.keys.seal(Place::Grant(id), &record.to_bytes()),
            record.tokens().unusable_after().map(kept_until),
        );
        self.store.compare_and_swap(id, expected, sealed, lease).await
    }

    /// Removes the grant if it is still in version `expected`. Whether it was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove(&self, id: GrantId, expected: Version) -> Result<bool, StoreError> {
        self.store.compare_and_remove(id, expected).await
    }

    pub(crate) async fn lease(&self, id: GrantId, ttl: Duration) -> Result<LeaseOutcome, StoreError> {
        self.store.lease(id, ttl).await
    }

    pub(crate) async fn renew(&self, id: GrantId, lease: Lease, ttl: Duration) -> Result<bool, StoreError> {
        self.store.renew(id, lease, ttl).await
    }

    pub(crate) async fn release(&self, id: GrantId, lease: Lease) -> Result<(), StoreError> {
        self.store.release(id, lease).await
    }

    /// Removes the grants that nothing can be done with any more. How many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        self.store.sweep().await
    }

    /// Seals with the first key of the ring whatever is sealed with another one. Once nothing is
    /// [unreadable](RekeyReport::unreadable) and every process has the new ring, the keys behind the first can go.
    ///
    /// Grants are used and refreshed meanwhile. It may be stopped at any time and begun anew. To rotate a key: put the new one on
    /// the ring of every process behind the old one, then put it first, then rekey.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rekey(&self) -> Result<RekeyReport, StoreError> {
        sealing::rekey(&*self.store, &self.keys).await
    }
}

/// A token that is dead by our clock may live by the provider's; only a day later is the row of no use for sure.
fn kept_until(unusable_after: UnixTime) -> UnixTime {
    unusable_after + Duration::from_hours(24)
}

fn unreadable(error: SealError) -> StoreError {
    StoreError::new("opening a sealed record").with_source(error)
}
