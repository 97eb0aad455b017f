//! A store in one file, for the few rows of a desktop program: no database, shared by the processes of a user.
//!
//! This crate is an implementation detail of [`portcullis`](https://docs.rs/portcullis): depend on `portcullis`, which re-exports it as
//! `portcullis::file`.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let folder = std::env::temp_dir().join(format!("portcullis-file-{}", std::process::id()));
//! use std::sync::Arc;
//!
//! use portcullis_core::UnixTime;
//! use portcullis_store::{Collection, RecordKey, SealedStore};
//! use portcullis_store_file::FileStore;
//!
//! const LOGINS: Collection = Collection::new(100, "example logins");
//!
//! let store = FileStore::open(folder.join("tokens")).await?;
//! let keys = store.keys_in_file(folder.join("key")).await?;
//! let sealed = SealedStore::open(Arc::new(store), keys, &[LOGINS]).await?;
//! let key = RecordKey::of(LOGINS, &[b"https://mcp.example.com/mcp"]);
//! sealed.create(key, &"a refresh token", UnixTime::MAX).await?;
//!
//! // Another process of the same user:
//! let store = FileStore::open(folder.join("tokens")).await?;
//! let keys = store.keys_in_file(folder.join("key")).await?;
//! let sealed = SealedStore::open(Arc::new(store), keys, &[LOGINS]).await?;
//! assert_eq!(sealed.load::<String>(key).await?.unwrap().value, "a refresh token");
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod config;
mod disk;
mod error;
mod format;
mod keys;
mod store;

pub use config::FileConfig;
pub use error::{FileStoreError, KeyError};
pub use store::FileStore;
