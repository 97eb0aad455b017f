//! A store in which something happens just before a row is written.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use portcullis_core::{BearerToken, GrantId, Issuer, ScopeSet, SystemClock, UnixTime};
use portcullis_grants::{
    GrantRecord, KeyRing, Lease, LeaseOutcome, MemoryStore, SealedGrant, StoreFuture, StoredRow, Swap, TokenSet,
    TokenStore, Version,
};
use portcullis_oauth::TokenResponse;

pub(crate) type Meddling = StoreFuture<'static, ()>;

#[derive(Clone)]
pub(crate) struct Meddled {
    pub(crate) store: MemoryStore,
    before_swap: Arc<Mutex<Option<Meddling>>>,
}

impl Meddled {
    pub(crate) fn new(store: MemoryStore, before_swap: Meddling) -> Self {
        Self { store, before_swap: Arc::new(Mutex::new(Some(before_swap))) }
    }
}

impl std::fmt::Debug for Meddled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meddled")
    }
}

impl TokenStore for Meddled {
    fn load(&self, id: GrantId) -> StoreFuture<'_, Option<StoredRow>> {
        self.store.load(id)
    }

    fn compare_and_swap(
        &self,
        id: GrantId,
        expected: Option<Version>,
        new: SealedGrant,
        lease: Option<Lease>,
    ) -> StoreFuture<'_, Swap> {
        Box::pin(async move {
            let meddling = self.before_swap.lock().expect("lock").take();
            if let Some(meddling) = meddling {
                meddling.await?;
            }
            self.store.compare_and_swap(id, expected, new, lease).await
        })
    }

    fn compare_and_remove(&self, id: GrantId, expected: Version) -> StoreFuture<'_, bool> {
        self.store.compare_and_remove(id, expected)
    }

    fn lease(&self, id: GrantId, ttl: Duration) -> StoreFuture<'_, LeaseOutcome> {
        self.store.lease(id, ttl)
    }

    fn renew(&self, id: GrantId, lease: Lease, ttl: Duration) -> StoreFuture<'_, bool> {
        self.store.renew(id, lease, ttl)
    }

    fn release(&self, id: GrantId, lease: Lease) -> StoreFuture<'_, ()> {
        self.store.release(id, lease)
    }

    fn sweep(&self) -> StoreFuture<'_, u64> {
        self.store.sweep()
    }

    fn page(&self, after: Option<GrantId>, limit: usize) -> StoreFuture<'_, Vec<(GrantId, StoredRow)>> {
        self.store.page(after, limit)
    }

    fn is_durable(&self) -> bool {
        true
    }
}

pub(crate) fn store() -> MemoryStore {
    MemoryStore::new(Arc::new(SystemClock::new()))
}

/// A ring of keys that consist of one byte each.
pub(crate) fn ring(keys: &[u8]) -> KeyRing {
    let keys: Vec<_> = keys.iter().map(|key| [*key; 32]).collect();
    KeyRing::new(&keys).expect("keys")
}

pub(crate) fn grant(number: u16) -> GrantId {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&number.to_be_bytes());
    GrantId::from_bytes(id)
}

/// A record with this access token.
pub(crate) fn record(token: &str) -> GrantRecord {
    let response = TokenResponse::new(BearerToken::issued(token).expect("token"));
    let tokens = TokenSet::from_login(response, &ScopeSet::default(), UnixTime::from_secs(1));
    GrantRecord::new(Issuer::new("https://idp.example").expect("issuer"), Arc::new(tokens))
}

pub(crate) fn token(record: &GrantRecord) -> &str {
    record.tokens().access_token().expose_secret()
}
