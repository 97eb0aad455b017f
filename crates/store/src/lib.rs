//! One store for everything that Portcullis keeps: rows that are sealed, versioned and expire, leases on them, and a feed of events.
//!
//! A [`Store`] keeps sealed rows and decides which of several concurrent changes comes first; there is one for each database.
//! [`SealedStore`] puts typed values into it and takes them out, encrypted on the way. A row is found by a collection and the hash of
//! what is presented ([`RecordKey`]), so a store shows neither what it keeps nor for whom.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//!
//! use portcullis_core::{Clock, SystemClock};
//! use portcullis_store::{Collection, KeyRing, MemoryStore, RecordKey, SealedStore};
//!
//! const LOGINS: Collection = Collection::new(100, "example logins");
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let clock = Arc::new(SystemClock::new());
//! let store = SealedStore::new(Arc::new(MemoryStore::new().with_clock(clock.clone())), KeyRing::ephemeral())?;
//! let key = RecordKey::of(LOGINS, &[b"the state"]);
//! let expires_at = clock.now() + Duration::from_secs(600);
//! assert!(store.create(key, &"a login", expires_at).await?.is_some());
//! assert!(store.create(key, &"another one", expires_at).await?.is_none(), "the key is taken");
//! assert_eq!(store.take::<String>(key).await?.as_deref(), Some("a login"));
//! assert_eq!(store.take::<String>(key).await?, None, "a value is taken once");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod confirmed_clock;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod feed;
mod key_check;
mod key_file;
mod key_ring;
mod key_text;
mod memory_store;
mod record_key;
mod rekey;
mod sealed_store;
mod store;
mod table;

pub use confirmed_clock::ConfirmedClock;
pub use feed::{Events, Position};
pub use key_check::{OpenError, WrongKeys};
pub use key_file::{KeyFileError, SecretFileError, read_secret_file};
pub use key_ring::{KeyRing, SealError};
pub use key_text::InvalidKeyRing;
pub use memory_store::MemoryStore;
pub use record_key::{Collection, RecordKey};
pub use rekey::RekeyReport;
pub use sealed_store::{EphemeralKeyError, Record, SealedStore, plaintext};
pub use store::{
    Expected, Lease, LeaseOutcome, Row, Store, StoreError, StoreErrorKind, StoreFuture, StoredRow, Swap, Version,
};
pub use table::Table;
