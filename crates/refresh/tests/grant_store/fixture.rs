//! A store in which something happens just before a row is written, and records to put into it.

use std::sync::{Arc, Mutex};

use portcullis_core::{BearerToken, GrantId, Issuer, ScopeSet, UnixTime};
use portcullis_oauth::TokenResponse;
use portcullis_refresh::{GrantRecord, TokenSet};
use portcullis_store::{
    KeyRing, MemoryStore, Store, StoreFuture,
    conformance::{Call, FaultyStore},
};

/// `store`, which claims to be durable; `interference` happens before the first write.
pub(crate) fn interfered(store: MemoryStore, interference: StoreFuture<'static, ()>) -> Arc<dyn Store> {
    let next = Mutex::new(Some(interference));
    let store = FaultyStore::new(store, move |call| match call {
        Call::Swap(_) => next.lock().expect("lock").take().unwrap_or_else(FaultyStore::pass),
        _ => FaultyStore::pass(),
    });
    Arc::new(store.claim_durable())
}

pub(crate) fn store() -> MemoryStore {
    MemoryStore::new()
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
