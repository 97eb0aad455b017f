//! [`Kept`]: the documents in the store.

use portcullis_grants::{
    StoreError,
    records::{Collection, RecordKey, SealedStore},
};

use super::Fetched;

/// The documents in the store: of clients that were given tokens.
#[derive(Clone, Debug)]
pub(super) struct Kept(SealedStore);

impl Kept {
    pub(super) const fn new(records: SealedStore) -> Self {
        Self(records)
    }

    /// The document at `id`, if it can be had: if not, the host is asked.
    pub(super) async fn load(&self, id: &str) -> Option<Fetched> {
        match self.0.load(key(id)).await {
            Ok(kept) => kept.map(|kept| kept.value),
            Err(error) => {
                tracing::warn!(%error, "the kept copy of a client's document cannot be read");
                None
            }
        }
    }

    /// Keeps `document`. If another process is faster it keeps what is as good.
    pub(super) async fn save(&self, id: &str, document: &Fetched) -> Result<(), StoreError> {
        match self.0.load::<Fetched>(key(id)).await? {
            None => self.0.create(key(id), document, document.expires_at()).await?,
            Some(kept) => self.0.replace(key(id), kept.version, document, document.expires_at()).await?,
        };
        Ok(())
    }

    /// What the client's host does not say any more is not kept either.
    pub(super) async fn forget(&self, id: &str) {
        let forgotten = async {
            match self.0.load::<Fetched>(key(id)).await? {
                Some(kept) => self.0.remove(key(id), kept.version).await,
                None => Ok(false),
            }
        };
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "the kept copy of a client's document cannot be removed");
        }
    }
}

fn key(id: &str) -> RecordKey {
    RecordKey::of(Collection::DOCUMENTS, &[id.as_bytes()])
}
