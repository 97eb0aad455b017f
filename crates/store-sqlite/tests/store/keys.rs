//! Processes that open one file with their keys at the same time.

use std::sync::Arc;

use portcullis_store::{Collection, KeyRing, OpenError, SealedStore, Store as _};
use portcullis_store_sqlite::SqliteStore;

use crate::folder::Folder;

async fn open(folder: &Folder, key: [u8; 32]) -> (SqliteStore, Result<SealedStore, OpenError>) {
    let store = SqliteStore::open(folder.database()).await.expect("a store");
    let keys = KeyRing::new([&key]).expect("a key");
    let sealed = SealedStore::open(Arc::new(store.clone()), keys, &[]).await;
    (store, sealed)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_those_that_open_an_empty_file_at_once_one_writes_the_row_that_checks_the_keys() {
    let folder = Folder::new();
    let (first, second, third) = tokio::join!(open(&folder, [1; 32]), open(&folder, [1; 32]), open(&folder, [1; 32]));
    for (store, sealed) in [first, second, third] {
        sealed.expect("the keys are right");
        let checks = Collection::new(63, "key check").with_id_binding();
        assert_eq!(store.count(checks).await.expect("rows"), 1);
    }
    let (_, other) = open(&folder, [2; 32]).await;
    assert!(matches!(other, Err(OpenError::WrongKeys(_))));
}
