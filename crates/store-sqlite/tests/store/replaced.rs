//! A file that is replaced or deleted while it is in use, and a store that is closed.
#![cfg(unix)]

use std::fs;

use portcullis_store::{Collection, Expected, RecordKey, Store, StoreErrorKind, Swap};
use portcullis_store_sqlite::SqliteStore;

use crate::{
    folder::Folder,
    process::{COUNTER, GRANTS, grant, numbered},
};

async fn written(store: &SqliteStore, key: RecordKey, value: u32) -> bool {
    let swap = store.compare_and_swap(key, Expected::Absent, numbered(value), None).await;
    matches!(swap, Ok(Swap::Written(_)))
}

async fn tells_that_it_was_replaced(store: &SqliteStore) {
    for _ in 0..3 {
        let write = store.compare_and_swap(grant(9), Expected::Absent, numbered(9), None).await.map(drop);
        let reads = [
            store.load(COUNTER).await.map(drop),
            store.page(GRANTS, None, 1).await.map(drop),
            store.count(Collection::new(1, "other")).await.map(drop),
            store.last_position().await.map(drop),
        ];
        for outcome in reads.into_iter().chain([write]) {
            let error = outcome.expect_err("an error");
            assert_eq!(error.kind(), StoreErrorKind::Replaced, "{error}");
            assert!(error.to_string().contains("replaced or deleted while it was in use"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_deleted_in_use_is_noticed() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.database()).await.expect("a store");
    assert!(written(&store, COUNTER, 1).await);
    fs::remove_file(folder.database()).expect("no failure");
    tells_that_it_was_replaced(&store).await;
    assert!(!folder.database().exists(), "no empty database takes its place");
}

#[tokio::test]
async fn a_file_that_is_replaced_in_use_is_noticed_and_the_new_one_is_left_alone() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.database()).await.expect("a store");
    assert!(written(&store, COUNTER, 1).await);

    let restored = Folder::new();
    let backup = SqliteStore::open(restored.database()).await.expect("a store");
    assert!(written(&backup, COUNTER, 7).await);
    backup.close().await.expect("no failure");
    fs::rename(restored.database(), folder.database()).expect("no failure");
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(folder.path().join(format!("portcullis.db{suffix}"))).expect("a file");
    }
    tells_that_it_was_replaced(&store).await;

    // The next process uses the restored file while the first one ends.
    let next = SqliteStore::open(folder.database()).await.expect("a store");
    assert!(written(&next, grant(2), 2).await);
    let log = folder.path().join("portcullis.db-wal");
    assert!(log.exists());
    assert_eq!(store.close().await.expect_err("an error").kind(), StoreErrorKind::Replaced);
    drop(store);
    // Connections are closed by threads of their own.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(log.exists(), "the log of the restored file is deleted");
    let counter = next.load(COUNTER).await.expect("no failure").expect("a row");
    assert_eq!(counter.row, numbered(7));
}

#[tokio::test]
async fn a_store_that_is_closed_leaves_one_whole_file() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.database()).await.expect("a store");
    let other = SqliteStore::open(folder.database()).await.expect("a store");
    for number in 0..100 {
        assert!(written(&store, grant(number), number).await);
        assert!(other.load(grant(number)).await.expect("no failure").is_some());
    }
    store.close().await.expect("no failure");
    assert!(written(&other, grant(100), 100).await, "another store goes on");
    other.close().await.expect("no failure");
    let files: Vec<_> =
        fs::read_dir(folder.path()).expect("a folder").map(|file| file.expect("an entry").file_name()).collect();
    assert_eq!(files, ["portcullis.db"], "-wal and -shm are gone");

    let moved = Folder::new();
    fs::copy(folder.database(), moved.database()).expect("a copy");
    let copy = SqliteStore::open(moved.database()).await.expect("a store");
    assert_eq!(copy.count(GRANTS).await.expect("no failure"), 101);
    for error in [
        store.load(grant(1)).await.map(drop),
        store.compare_and_remove(grant(1), portcullis_store::Version::new(1)).await.map(drop),
    ] {
        assert!(error.expect_err("closed").to_string().contains("the store was closed"));
    }
    store.close().await.expect("twice is once");
}

#[tokio::test]
async fn writes_that_wait_are_done_before_a_store_is_closed() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.database()).await.expect("a store");
    let writes: Vec<_> = (0..50)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { written(&store, grant(number), number).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await.expect("no failure");
    let mut reported = 0;
    for write in writes {
        reported += u64::from(write.await.expect("no panic"));
    }
    let again = SqliteStore::open(folder.database()).await.expect("a store");
    assert_eq!(again.count(GRANTS).await.expect("no failure"), reported);
}
