//! Records: what an authorization server remembers, in rows that are sealed, expire, and change one at a time.
//!
//! A [`RecordStore`] keeps rows and decides who was first; [`SealedStore`] puts typed values in and takes them out, sealed on the way.
//! A row is found by the hash of what is presented ([`RecordKey`]), so that a store shows neither what it keeps nor for whom.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//!
//! use portcullis_core::{Clock, SystemClock};
//! use portcullis_grants::{
//!     KeyRing,
//!     records::{MemoryRecords, RecordKey, SealedStore, Collection},
//! };
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let clock = Arc::new(SystemClock::new());
//! let records = SealedStore::new(Arc::new(MemoryRecords::new(clock.clone())), KeyRing::ephemeral())?;
//! let key = RecordKey::of(Collection::LOGINS, &[b"the state"]);
//! let expires_at = clock.now() + Duration::from_secs(600);
//! assert!(records.create(key, &"a login", expires_at).await?.is_some());
//! assert!(records.create(key, &"another one", expires_at).await?.is_none(), "there is one");
//! assert_eq!(records.take::<String>(key).await?.as_deref(), Some("a login"));
//! assert_eq!(records.take::<String>(key).await?, None, "it is used once");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod check;
mod due;
mod key;
mod memory;
mod rekey;
mod soonest;
mod store;
mod table;
mod text;
mod typed;

pub use key::RecordKey;
pub use memory::MemoryRecords;
pub use store::{RecordStore, SealedRecord, StoredRecord};
pub use table::Collection;
pub use typed::{Record, SealedStore};
