//! [`SealedStore::check_keys`]: a key ring is tried before anything is stored with it; and [`SealedStore::check`]: the same for a
//! readiness probe, with a write.

use std::sync::Arc;

use portcullis_core::UnixTime;

use crate::{
    Collection, EphemeralKeyError, Expected, KeyRing, RecordKey, Row, SealError, SealedStore, Store, StoreError,
    StoreErrorKind, Swap,
    key_ring::{SealContext, key_name},
};

/// Why a store is not opened with a key ring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store is durable and the key is not.
    #[error(transparent)]
    EphemeralKey(#[from] EphemeralKeyError),
    /// No key of the ring opens what is stored.
    #[error(transparent)]
    WrongKeys(#[from] WrongKeys),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// No key of the ring opens what is stored. It names keys by their ids, which say nothing of the keys.
///
/// Either the keys are put back that the store was sealed with, or everything begins anew with an empty store: then clients register
/// and users log in again.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "no key of the key ring opens what is stored: it is sealed with the key {sealed_with}, and on the ring are {on_the_ring}"
)]
#[non_exhaustive]
pub struct WrongKeys {
    sealed_with: String,
    on_the_ring: String,
}

/// Where the canary is: a sealed row by which keys are tried. It is bound to its id as it was when it was a row among the grants.
const CANARY: RecordKey = RecordKey::new(
    Collection::new(63, "key check").with_id_binding(),
    *b"portcullis:check\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
);

/// Where [`SealedStore::check`] writes.
const PROBE: RecordKey = RecordKey::new(CANARY.collection(), *b"portcullis:probe\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");

/// What is sealed in both.
const TEXT: &[u8] = b"the keys are right";

/// Rows read in one step.
const PAGE: usize = 256;

impl SealedStore {
    /// Creates a store of values in `store`, sealed with `keys`, which have been [checked](Self::check_keys) with the rows of
    /// `collections`.
    ///
    /// # Errors
    /// [`OpenError`]: above all, if no key of the ring opens what is stored.
    pub async fn open(store: Arc<dyn Store>, keys: KeyRing, collections: &[Collection]) -> Result<Self, OpenError> {
        let store = Self::new(store, keys)?;
        store.check_keys(collections).await?;
        Ok(store)
    }

    /// Checks the keys with a sealed row that is written when a store is first opened. [`rekey`](Self::rekey) seals that row anew.
    ///
    /// If the row does not open, or does not exist because the store is older than it, any row of `collections` that opens shows that
    /// the keys are right, and the row for the check is written anew. Of several processes that open an empty store one writes it.
    ///
    /// # Errors
    /// [`OpenError::WrongKeys`] if nothing opens that is stored; [`OpenError::Store`] if the store cannot be read or written.
    pub async fn check_keys(&self, collections: &[Collection]) -> Result<(), OpenError> {
        loop {
            let canary = self.load_row(CANARY).await?;
            let mut check = KeyCheck::new(&self.keys);
            if let Some(canary) = &canary
                && check.is_passed_by(CANARY, &canary.row.sealed)
            {
                return Ok(());
            }
            self.check_rows(collections, check).await??;
            let expected = match canary {
                None => Expected::Absent,
                Some(canary) => {
                    tracing::warn!(
                        "the row that checks the keys was sealed with a key that is not on the ring, and others open: it is sealed anew"
                    );
                    Expected::Unexpired(canary.version)
                }
            };
            let row = Row::new(self.keys.seal(SealContext::Row(CANARY), TEXT), UnixTime::MAX);
            match self.write_row(CANARY, expected, row, None).await? {
                Swap::Written(_) => return Ok(()),
                // Another process was first: its keys have to be these.
                Swap::Conflict | Swap::Fenced => {}
            }
        }
    }

    /// Checks that the store can be written, by one write, and that the keys open the row that [`check_keys`](Self::check_keys) has
    /// written: for a readiness probe.
    ///
    /// The row that is written has expired already, so that no other method returns it, and every check replaces it.
    ///
    /// # Errors
    /// [`StoreError`], whose [kind](StoreError::kind) says what is wrong.
    pub async fn check(&self) -> Result<(), StoreError> {
        if let Some(canary) = self.load_row(CANARY).await?
            && let Err(error) = self.keys.open(SealContext::Row(CANARY), &canary.row.sealed)
        {
            let failed = StoreError::new("opening the row that checks the keys").with_source(error);
            return Err(failed.with_kind(StoreErrorKind::WrongKeys));
        }
        let row = Row::new(self.keys.seal(SealContext::Row(PROBE), TEXT), UnixTime::default());
        match self.write_row(PROBE, Expected::Absent, row, None).await? {
            Swap::Written(_) => Ok(()),
            Swap::Conflict | Swap::Fenced => Err(StoreError::new("writing a row in place of one that has expired")),
        }
    }

    /// Checks that a row opens, or that none is sealed with another key.
    async fn check_rows(
        &self,
        collections: &[Collection],
        mut check: KeyCheck<'_>,
    ) -> Result<Result<(), WrongKeys>, StoreError> {
        for collection in collections {
            let mut after = None;
            loop {
                let page = self.rows_after(*collection, after, PAGE).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(*last);
                if page.iter().any(|(key, stored)| check.is_passed_by(*key, &stored.row.sealed)) {
                    return Ok(Ok(()));
                }
            }
        }
        Ok(check.finish())
    }

    /// The collection of the canary, for [`rekey`](Self::rekey).
    pub(crate) const fn canary_collection() -> Collection {
        CANARY.collection()
    }
}

/// Looks at rows until one opens.
struct KeyCheck<'a> {
    keys: &'a KeyRing,
    foreign: Option<String>,
}

impl<'a> KeyCheck<'a> {
    const fn new(keys: &'a KeyRing) -> Self {
        Self { keys, foreign: None }
    }

    /// Reports whether a row shows that the keys are right. A damaged row shows nothing.
    fn is_passed_by(&mut self, key: RecordKey, sealed: &[u8]) -> bool {
        let opened = self.keys.open(SealContext::Row(key), sealed);
        if matches!(opened, Err(SealError::UnknownKey)) && self.foreign.is_none() {
            self.foreign = key_name(sealed);
        }
        opened.is_ok()
    }

    /// Decides after no row has opened: the keys are right if no row is sealed with another key.
    fn finish(self) -> Result<(), WrongKeys> {
        match self.foreign {
            None => Ok(()),
            Some(sealed_with) => Err(WrongKeys { sealed_with, on_the_ring: format!("{:?}", self.keys) }),
        }
    }
}
