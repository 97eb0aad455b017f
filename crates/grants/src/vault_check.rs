//! The canary of a [`GrantStore`]: a sealed row by which a key ring is tried at the start.

use std::sync::Arc;

use portcullis_core::GrantId;

use crate::{
    GrantStore, KeyRing, OpenError, SealedGrant, StoreError, Swap, TokenStore, WrongKeys,
    engine::in_time,
    sealing::{KeyCheck, Place},
};

/// Where it is. No grant has this id: those are random.
const CANARY: GrantId = GrantId::from_bytes(*b"portcullis:check");

/// What is sealed there.
const TEXT: &[u8] = b"the keys are right";

/// Rows read at once.
const PAGE: usize = 256;

impl GrantStore {
    /// Grants in `store`, sealed with `keys`, which have been [tried](Self::check_keys).
    ///
    /// # Errors
    /// [`OpenError`]: above all, if no key of the ring opens what is there.
    pub async fn open(store: Arc<dyn TokenStore>, keys: KeyRing) -> Result<Self, OpenError> {
        let vault = Self::new(store, keys)?;
        vault.check_keys().await?;
        Ok(vault)
    }

    /// Tries the keys at a sealed row that is written when a store is first opened. [`rekey`](Self::rekey) seals it anew.
    ///
    /// If that row does not open, or is not there because the store is older than it, any grant that opens shows that the keys are right,
    /// and the row is written anew. Of several processes that open an empty store one writes it.
    ///
    /// # Errors
    /// [`OpenError::WrongKeys`] if nothing opens that is there; [`OpenError::Store`] if the store cannot be read or written.
    pub async fn check_keys(&self) -> Result<(), OpenError> {
        loop {
            let canary = in_time(self.store().load(CANARY)).await?;
            let version = canary.as_ref().map(|canary| canary.version);
            let mut check = KeyCheck::new(self.keys());
            if let Some(canary) = canary {
                let sealed = &canary.grant.sealed;
                if check.is_passed_by(sealed, &self.keys().open(Place::Grant(CANARY), sealed)) {
                    return Ok(());
                }
            }
            self.look_through(check).await??;
            if version.is_some() {
                tracing::warn!(
                    "the row that tries the keys was sealed with a key that is not on the ring, and others open: it is sealed anew"
                );
            }
            let sealed = SealedGrant::new(self.keys().seal(Place::Grant(CANARY), TEXT), None);
            match in_time(self.store().compare_and_swap(CANARY, version, sealed, None)).await? {
                Swap::Written(_) => return Ok(()),
                // Another process was first: its keys have to be these.
                Swap::Conflict | Swap::Fenced => {}
            }
        }
    }

    /// Whether a grant opens, or none is sealed with another key.
    async fn look_through(&self, mut check: KeyCheck<'_>) -> Result<Result<(), WrongKeys>, StoreError> {
        let mut after = None;
        loop {
            let page = in_time(self.store().page(after, PAGE)).await?;
            let Some((last, _)) = page.last() else { return Ok(check.finish()) };
            after = Some(*last);
            for (id, stored) in page.iter().filter(|(id, _)| *id != CANARY) {
                let sealed = &stored.grant.sealed;
                if check.is_passed_by(sealed, &self.keys().open(Place::Grant(*id), sealed)) {
                    return Ok(Ok(()));
                }
            }
        }
    }
}
