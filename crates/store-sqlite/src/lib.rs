//! A store in an SQLite database: one file, nothing to install, shared by the processes of one machine.
//!
//! This crate is an implementation detail of [`portcullis`](https://docs.rs/portcullis): depend on `portcullis`, which re-exports it as
//! `portcullis::sqlite`.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let folder = std::env::temp_dir().join(format!("portcullis-sqlite-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! use portcullis_store::{Collection, RecordKey, Store};
//! use portcullis_store_sqlite::SqliteStore;
//!
//! let store = SqliteStore::open(folder.join("portcullis.db")).await?;
//! assert!(store.is_durable());
//! let key = RecordKey::of(Collection::new(100, "example logins"), &[b"the state"]);
//! assert!(store.load(key).await.unwrap().is_none());
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<_, portcullis_store_sqlite::SqliteError>(())
//! # }).unwrap();
//! ```

mod config;
mod connection;
mod error;
mod events;
mod file;
mod rows;
mod store;
mod writer;

pub use config::SqliteConfig;
pub use error::SqliteError;
pub use store::SqliteStore;
