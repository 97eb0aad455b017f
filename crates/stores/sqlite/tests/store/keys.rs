//! Processes that open one file with their keys at the same time.

use std::sync::Arc;

use portcullis_core::SystemClock;
use portcullis_grants::{GrantStore, KeyRing, OpenError, TokenStore as _};
use portcullis_store_sqlite::SqliteStore;

use crate::folder::Folder;

async fn open(folder: &Folder, key: [u8; 32]) -> (SqliteStore, Result<GrantStore, OpenError>) {
    let store = SqliteStore::open(folder.database(), Arc::new(SystemClock::new())).await.expect("a store");
    let keys = KeyRing::new([&key]).expect("a key");
    let vault = GrantStore::open(Arc::new(store.clone()), keys).await;
    (store, vault)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_those_who_open_an_empty_file_at_once_one_writes_the_row_that_tries_the_keys() {
    let folder = Folder::new();
    let (first, second, third) = tokio::join!(open(&folder, [1; 32]), open(&folder, [1; 32]), open(&folder, [1; 32]));
    for (store, vault) in [first, second, third] {
        vault.expect("the keys are right");
        assert_eq!(store.page(None, 10).await.expect("rows").len(), 1);
    }
    let (_, other) = open(&folder, [2; 32]).await;
    assert!(matches!(other, Err(OpenError::WrongKeys(_))));
}
