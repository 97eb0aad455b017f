//! [`GrantStore`]: grants in a sealed store, each as a [`GrantRecord`].

use std::{borrow::Cow, sync::Arc, time::Duration};

use portcullis_core::{AuthError, BearerToken, Generation, GrantId, Issuer, Reason, ScopeSet, UnixTime};
use portcullis_store::{
    Collection, EphemeralKeyError, Expected, KeyRing, Lease, LeaseOutcome, OpenError, RecordKey, RekeyReport,
    SealedStore, Store, StoreError, Swap, Version, plaintext,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::token_set::{Restored, TokenSet};

/// Grants in a [`SealedStore`]: typed records, found by the id of the grant. Clones share the store.
#[derive(Clone, Debug)]
pub struct GrantStore(SealedStore);

/// Why a grant is not created. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// There is a grant with this id. Each login creates a grant of its own: take a new random id, and
    /// [delete](crate::Refresher::delete) the old grant.
    #[error("there is a grant of this id already")]
    Exists,
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The answer to a request that needs the grant: 503.
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
    /// The version in which the record was read.
    pub version: Version,
    /// The record.
    pub record: GrantRecord,
}

impl GrantStore {
    /// The collection of the grants.
    pub const COLLECTION: Collection = Collection::new(0, "grants").with_id_binding();

    /// Creates a store of grants in `store`, sealed with `keys`, which are **not** checked: [`open`](Self::open) does that.
    ///
    /// # Errors
    /// [`EphemeralKeyError`] if the store is durable and the key is not: after a restart nothing could be read.
    pub fn new(store: Arc<dyn Store>, keys: KeyRing) -> Result<Self, EphemeralKeyError> {
        SealedStore::new(store, keys).map(Self)
    }

    /// Creates a store of grants in `store`, sealed with `keys`, which have been [checked](SealedStore::check_keys).
    ///
    /// # Errors
    /// [`OpenError`]: above all, if no key of the ring opens what is stored.
    pub async fn open(store: Arc<dyn Store>, keys: KeyRing) -> Result<Self, OpenError> {
        SealedStore::open(store, keys, &[Self::COLLECTION]).await.map(Self)
    }

    /// Returns the store in which the grants are, for further records about them.
    #[must_use]
    pub const fn sealed_store(&self) -> &SealedStore {
        &self.0
    }

    /// Returns the key of the row of a grant.
    #[must_use]
    pub fn key(id: GrantId) -> RecordKey {
        RecordKey::of_id(Self::COLLECTION, id.as_bytes())
    }

    /// Loads the record of `id`, also one that has expired and was not swept: its expiry is an estimate, and the provider decides.
    ///
    /// # Errors
    /// [`StoreError`] if the record cannot be read; also if it does not open: a missing key is a fault of this server, and no reason
    /// to make users log in again.
    pub async fn load(&self, id: GrantId) -> Result<Option<StoredGrant>, StoreError> {
        let Some((version, plain)) = self.0.load_bytes_even_expired(Self::key(id)).await? else { return Ok(None) };
        let record =
            GrantRecord::from_bytes(&plain).map_err(|error| StoreError::new("reading a record").with_source(error))?;
        Ok(Some(StoredGrant { version, record }))
    }

    /// Saves the record of a new grant, durably.
    ///
    /// # Errors
    /// [`CreateError`] if there is a grant with this id, or if the store cannot be written.
    pub async fn create(&self, id: GrantId, record: &GrantRecord) -> Result<Version, CreateError> {
        match self.swap(id, None, record, None).await? {
            Swap::Written(version) => Ok(version),
            Swap::Conflict | Swap::Fenced => Err(CreateError::Exists),
        }
    }

    /// Writes `record` if the row is still in version `expected`, under `lease`, which is released. A row that expired meanwhile is
    /// written as well: the provider may have rotated the refresh token, and the new one must not be lost.
    pub(crate) async fn swap(
        &self,
        id: GrantId,
        expected: Option<Version>,
        record: &GrantRecord,
        lease: Option<Lease>,
    ) -> Result<Swap, StoreError> {
        let expected = expected.map_or(Expected::Absent, Expected::EvenExpired);
        let expires_at = record.tokens().unusable_after().map_or(UnixTime::MAX, kept_until);
        self.0.swap_bytes(Self::key(id), expected, &record.to_bytes(), expires_at, lease).await
    }

    /// Removes the grant if it is still in version `expected`. Reports whether it was removed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove(&self, id: GrantId, expected: Version) -> Result<bool, StoreError> {
        self.0.remove(Self::key(id), expected).await
    }

    pub(crate) async fn lease(&self, id: GrantId, ttl: Duration) -> Result<LeaseOutcome, StoreError> {
        self.0.lease(Self::key(id), ttl).await
    }

    pub(crate) async fn renew(&self, id: GrantId, lease: Lease, ttl: Duration) -> Result<bool, StoreError> {
        self.0.renew(Self::key(id), lease, ttl).await
    }

    pub(crate) async fn release(&self, id: GrantId, lease: Lease) -> Result<(), StoreError> {
        self.0.release(Self::key(id), lease).await
    }

    /// Removes the grants whose tokens are of no use any more at the `confirmed` time, and returns their number. The time is that of a
    /// [`ConfirmedClock`](portcullis_store::ConfirmedClock).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep(&self, confirmed: UnixTime) -> Result<u64, StoreError> {
        self.0.sweep(Self::COLLECTION, confirmed).await
    }

    /// Seals with the first key of the ring every grant that is sealed with another key: see [`SealedStore::rekey`]. Grants are used
    /// and refreshed meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rekey(&self) -> Result<RekeyReport, StoreError> {
        self.0.rekey(&[Self::COLLECTION]).await
    }
}

impl From<SealedStore> for GrantStore {
    fn from(store: SealedStore) -> Self {
        Self(store)
    }
}

/// A token that has expired by the clock of this machine may be valid by the provider's; a day later it certainly is not.
fn kept_until(unusable_after: UnixTime) -> UnixTime {
    unusable_after + Duration::from_hours(24)
}

/// What is stored of a grant: its issuer and its tokens.
#[derive(Clone, Debug)]
pub struct GrantRecord {
    issuer: Issuer,
    tokens: Arc<TokenSet>,
}

/// The error of bytes that are not a record, or a record of an unknown version.
#[derive(Debug, thiserror::Error)]
#[error("not the record of a grant: {0}")]
#[non_exhaustive]
pub struct InvalidRecord(&'static str);

/// The JSON form of a record before it is sealed. Times are nanoseconds. The names are part of the database format.
#[derive(Serialize, Deserialize)]
struct Form<'a> {
    format: u32,
    #[serde(borrow)]
    issuer: Text<'a>,
    #[serde(borrow)]
    access_token: Text<'a>,
    generation: u64,
    began_at: u64,
    received_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_expires_at: Option<u64>,
    scopes: ScopeSet,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    further: Map<String, Value>,
}

/// A text that is borrowed from the plaintext, which is wiped. Only a text with escapes is copied.
#[derive(Serialize, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

const FORMAT: u32 = 1;

impl GrantRecord {
    /// Creates the record of a grant at the authorization server `issuer`.
    ///
    /// A record is used for this issuer only, so that no token is sent to another server when the configuration changes.
    #[must_use]
    pub const fn new(issuer: Issuer, tokens: Arc<TokenSet>) -> Self {
        Self { issuer, tokens }
    }

    /// Returns the issuer of the tokens.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Returns the tokens.
    #[must_use]
    pub const fn tokens(&self) -> &Arc<TokenSet> {
        &self.tokens
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let tokens = &*self.tokens;
        let form = Form {
            format: FORMAT,
            issuer: self.issuer.as_str().into(),
            access_token: tokens.access_token().expose_secret().into(),
            generation: tokens.stored_generation().number(),
            began_at: tokens.began_at().as_nanos(),
            received_at: tokens.received_at().as_nanos(),
            expires_at: tokens.expires_at().map(UnixTime::as_nanos),
            refresh_token: tokens.refresh_token().map(|token| token.expose_secret().into()),
            refresh_expires_at: tokens.refresh_expires_at().map(UnixTime::as_nanos),
            scopes: tokens.scopes().clone(),
            further: tokens.extra().clone(),
        };
        plaintext(&form).expect("a record is plain data")
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidRecord> {
        let form: Form<'_> = serde_json::from_slice(bytes).map_err(|_| InvalidRecord("unknown form"))?;
        if form.format != FORMAT {
            return Err(InvalidRecord("of a later version"));
        }
        let token = BearerToken::issued(&form.access_token.0).map_err(|_| InvalidRecord("no access token"))?;
        // One with plain `http` in a private network is allowed there. A refresher compares it with its own.
        let issuer = Issuer::in_private_network(&form.issuer.0).map_err(|_| InvalidRecord("no issuer"))?;
        let rest = Restored {
            refresh_token: form.refresh_token.map(|token| SecretString::from(&*token.0)),
            began_at: UnixTime::from_nanos(form.began_at),
            received_at: UnixTime::from_nanos(form.received_at),
            refresh_expires_at: form.refresh_expires_at.map(UnixTime::from_nanos),
            scopes: form.scopes,
            extra: form.further,
        };
        let expires_at = form.expires_at.map(UnixTime::from_nanos);
        let tokens = TokenSet::restored(token, Generation::new(form.generation), expires_at, rest);
        Ok(Self::new(issuer, Arc::new(tokens)))
    }
}
