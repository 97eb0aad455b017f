//! Grants and records in an SQLite database: one file, nothing to install, shared by the processes of one machine.
//!
//! This crate is an implementation detail of [`portcullis`](https://docs.rs/portcullis): depend on `portcullis`, which re-exports it as
//! `portcullis::sqlite`.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let folder = std::env::temp_dir().join(format!("portcullis-sqlite-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! use std::sync::Arc;
//!
//! use portcullis_core::{GrantId, SystemClock};
//! use portcullis_grants::TokenStore;
//! use portcullis_store_sqlite::SqliteStore;
//!
//! let store = SqliteStore::open(folder.join("portcullis.db"), Arc::new(SystemClock::new())).await?;
//! assert!(store.is_durable());
//! assert!(store.load(GrantId::from_bytes([7; 16])).await.unwrap().is_none());
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<_, portcullis_store_sqlite::SqliteError>(())
//! # }).unwrap();
//! ```

mod config;
mod connection;
mod error;
mod file;
mod grants;
mod leases;
mod nanos;
mod record_store;
mod records;
mod schema;
mod store;
mod writer;

pub use config::SqliteConfig;
pub use error::SqliteError;
pub use store::SqliteStore;
