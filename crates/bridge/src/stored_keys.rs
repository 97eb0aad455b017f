//! [`StoredKeys`]: signing keys that the bridge generates, stores sealed, and replaces periodically.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_core::{Clock, UnixTime};
use portcullis_oauth::jwt::{KeySet, SigningKey};
use portcullis_store::{RecordKey, SealedStore, StoreError};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::{collections, signing_keys::SigningKeys};

/// How long a key signs.
const ROTATED_AFTER: Duration = Duration::from_hours(30 * 24);

/// How long a key is published before it signs: longer than resource servers cache the key set, and than processes cache the row.
const PUBLISHED_BEFORE: Duration = Duration::from_hours(1);

/// How long a key is published after its last token has expired, in case the lifetime of tokens was shortened.
const RETIRED_AFTER: Duration = Duration::from_hours(24);

/// The signing keys in the store. All processes that share the store sign with the same key. Clones share their state.
#[derive(Clone, Debug)]
pub(crate) struct StoredKeys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    records: SealedStore,
    clock: Arc<dyn Clock>,
    token_ttl: Duration,
    /// The keys as of the last reading; none before the first one.
    loaded: RwLock<Option<Arc<LoadedKeys>>>,
}

/// The keys of one version of the row.
#[derive(Debug)]
struct LoadedKeys {
    row: KeyRow,
    keys: Vec<Arc<SigningKey>>,
    key_set: Arc<KeySet>,
}

/// The row of all keys, the oldest first.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct KeyRow(Vec<StoredKey>);

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredKey {
    #[serde(serialize_with = "encode", deserialize_with = "decode")]
    pkcs8: Zeroizing<Vec<u8>>,
    /// When it begins to sign, in seconds.
    signs_from: u64,
}

impl StoredKeys {
    pub(crate) fn new(records: SealedStore, clock: Arc<dyn Clock>, token_ttl: Duration) -> Self {
        Self(Arc::new(Inner { records, clock, token_ttl, loaded: RwLock::default() }))
    }

    /// Returns the keys, that which signs at present first. Reads the store only if no keys were read before.
    pub(crate) async fn signing(&self) -> Result<SigningKeys, StoreError> {
        Ok(self.current().await?.at(self.0.clock.now()))
    }

    /// Returns the key set for verification.
    pub(crate) async fn key_set(&self) -> Result<Arc<KeySet>, StoreError> {
        Ok(Arc::clone(&self.current().await?.key_set))
    }

    async fn current(&self) -> Result<Arc<LoadedKeys>, StoreError> {
        match self.loaded() {
            Some(loaded) => Ok(loaded),
            None => self.update(KeyRow::with_a_key).await,
        }
    }

    /// Reads keys again that were read before, for changes by other processes. At a `confirmed` time it also adds and removes the keys
    /// that are due: a clock that is wrong for a moment removes none.
    pub(crate) async fn refresh(&self, confirmed: Option<UnixTime>) -> Result<(), StoreError> {
        let token_ttl = self.0.token_ttl;
        match confirmed {
            Some(confirmed) => self.update(|row, _| row.maintained(confirmed, token_ttl)).await.map(drop),
            None if self.loaded().is_some() => self.update(KeyRow::with_a_key).await.map(drop),
            None => Ok(()),
        }
    }

    /// Reads the row, makes the `next` one of it, and returns the keys. Of concurrent changes, one is written.
    async fn update(&self, next: impl Fn(&KeyRow, UnixTime) -> KeyRow) -> Result<Arc<LoadedKeys>, StoreError> {
        let key = RecordKey::of(collections::SIGNING_KEYS, &[b"access tokens"]);
        loop {
            let found = self.0.records.load::<KeyRow>(key).await?;
            let (version, row) = match found {
                Some(record) => (Some(record.version), record.value),
                None => (None, KeyRow::default()),
            };
            let next = next(&row, self.0.clock.now());
            let is_written = match version {
                Some(_) if next == row => true,
                Some(version) => self.0.records.replace(key, version, &next, UnixTime::MAX).await?.is_some(),
                None => self.0.records.create(key, &next, UnixTime::MAX).await?.is_some(),
            };
            if is_written {
                return self.load(next);
            }
        }
    }

    fn loaded(&self) -> Option<Arc<LoadedKeys>> {
        self.0.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes `row` the current one, and logs what has changed.
    fn load(&self, row: KeyRow) -> Result<Arc<LoadedKeys>, StoreError> {
        if let Some(loaded) = self.loaded().filter(|loaded| loaded.row == row) {
            return Ok(loaded);
        }
        let keys: Result<Vec<_>, _> =
            row.0.iter().map(|key| SigningKey::from_pkcs8(&key.pkcs8).map(Arc::new)).collect();
        let keys = keys.map_err(|error| StoreError::new("reading the signing keys").with_source(error))?;
        let ids: Vec<_> = keys.iter().map(|key| key.jwk().id()).collect();
        tracing::info!(keys = ids.join(" "), "signing keys of access tokens have changed");
        let key_set = Arc::new(SigningKeys::from_keys(keys.clone()).key_set());
        let loaded = Arc::new(LoadedKeys { row, keys, key_set });
        *self.0.loaded.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&loaded));
        Ok(loaded)
    }
}

impl LoadedKeys {
    /// Returns the keys, that which signs at `now` first.
    fn at(&self, now: UnixTime) -> SigningKeys {
        let signing = self.row.0.iter().rposition(|key| key.signs_from <= now.as_secs()).unwrap_or_default();
        let mut keys = self.keys.clone();
        keys[..=signing].rotate_right(1);
        SigningKeys::from_keys(keys)
    }
}

impl KeyRow {
    /// Returns the row, with a key that signs from `now` on if it has none.
    fn with_a_key(&self, now: UnixTime) -> Self {
        if self.0.is_empty() { Self(vec![StoredKey::generate(now)]) } else { self.clone() }
    }

    /// Returns the row with the keys that are due at `now`, and without those whose last token expired more than a day ago.
    fn maintained(&self, now: UnixTime, token_ttl: Duration) -> Self {
        let Self(mut keys) = self.with_a_key(now);
        let begins = |key: &StoredKey| UnixTime::from_secs(key.signs_from);
        let next_begins = now + PUBLISHED_BEFORE;
        if keys.last().is_some_and(|newest| next_begins >= begins(newest) + ROTATED_AFTER) {
            keys.push(StoredKey::generate(next_begins));
        }
        // A clock that was ahead has dated a key too late, and no other would follow until then.
        keys.iter_mut().for_each(|key| key.signs_from = key.signs_from.min(next_begins.as_secs()));
        let is_retired = |next: &StoredKey| now >= begins(next) + token_ttl + RETIRED_AFTER;
        let retired = keys.iter().skip(1).take_while(|next| is_retired(next)).count();
        keys.drain(..retired);
        Self(keys)
    }
}

impl StoredKey {
    fn generate(signs_from: UnixTime) -> Self {
        Self { pkcs8: SigningKey::generate_pkcs8(), signs_from: signs_from.as_secs() }
    }
}

/// Prints no key.
impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredKey").field("signs_from", &self.signs_from).finish_non_exhaustive()
    }
}

fn encode<S: Serializer>(key: &Zeroizing<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&Zeroizing::new(URL_SAFE_NO_PAD.encode(&**key)))
}

fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<Vec<u8>>, D::Error> {
    let text = Zeroizing::new(String::deserialize(deserializer)?);
    URL_SAFE_NO_PAD.decode(text.as_bytes()).map(Zeroizing::new).map_err(|_| de::Error::custom("not base64url"))
}
