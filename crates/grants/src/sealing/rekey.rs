//! [`rekey`]: every record is sealed with the first key.

use portcullis_core::GrantId;

use super::{KeyRing, Place};
use crate::{SealedGrant, StoreError, StoredRow, Swap, TokenStore};

/// What a [`GrantStore::rekey`](crate::GrantStore::rekey) found, in rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct RekeyReport {
    /// Sealed anew with the first key.
    pub resealed: u64,
    /// Sealed with it before.
    pub current: u64,
    /// They do not open: another key would be needed, or they were damaged. They stay as they are.
    pub unreadable: u64,
}

/// Rows read at once.
const PAGE: usize = 256;

enum Outcome {
    Resealed,
    Current,
    Unreadable,
    /// Removed meanwhile.
    Gone,
}

/// Seals with the first key of `keys` whatever in `store` is not.
pub(crate) async fn rekey(store: &dyn TokenStore, keys: &KeyRing) -> Result<RekeyReport, StoreError> {
    let mut rekeyed = RekeyReport::default();
    let mut after = None;
    loop {
        let page = store.page(after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(rekeyed) };
        after = Some(*last);
        for (id, stored) in page {
            match reseal(store, keys, id, stored).await? {
                Outcome::Resealed => rekeyed.resealed += 1,
                Outcome::Current => rekeyed.current += 1,
                Outcome::Unreadable => rekeyed.unreadable += 1,
                Outcome::Gone => {}
            }
        }
    }
}

/// Somebody may write the row meanwhile: then what they wrote is looked at, and nothing of it is lost. It takes no lease: that
/// would hold up those who refresh.
async fn reseal(
    store: &dyn TokenStore,
    keys: &KeyRing,
    id: GrantId,
    mut stored: StoredRow,
) -> Result<Outcome, StoreError> {
    loop {
        let StoredRow { version, grant } = stored;
        if keys.is_current(&grant.sealed) {
            return Ok(Outcome::Current);
        }
        let plain = match keys.open(Place::Grant(id), &grant.sealed) {
            Ok(plain) => plain,
            Err(error) => {
                tracing::warn!(grant = %id, %error, "a stored grant does not open");
                return Ok(Outcome::Unreadable);
            }
        };
        let sealed = SealedGrant::new(keys.seal(Place::Grant(id), &plain), grant.expires_at);
        if let Swap::Written(_) = store.compare_and_swap(id, Some(version), sealed, None).await? {
            return Ok(Outcome::Resealed);
        }
        match store.load(id).await? {
            Some(now) => stored = now,
            None => return Ok(Outcome::Gone),
        }
    }
}
