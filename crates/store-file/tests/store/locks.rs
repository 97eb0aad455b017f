//! The lock of the file: other processes have it, keep it too long, or its file is deleted.

use std::{
    fs::{self, File, OpenOptions},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use portcullis_store::{Expected, LeaseOutcome, Store, StoreErrorKind, Swap};
use portcullis_store_file::{FileConfig, FileStore};
use tokio::time::timeout;

use crate::fixture::{COUNTER, Folder, key, number, numbered};

const MINUTE: Duration = Duration::from_mins(1);

fn lock_file(folder: &Folder) -> PathBuf {
    folder.file().with_file_name("tokens.lock")
}

/// Locks the file as another process does.
fn locked(folder: &Folder) -> File {
    let file = OpenOptions::new().write(true).open(lock_file(folder)).expect("a lock file");
    file.lock().expect("the lock");
    file
}

#[tokio::test]
async fn a_lock_that_is_kept_too_long_fails_writes_and_no_reads() {
    let folder = Folder::new();
    let config = FileConfig::new(folder.file()).with_lock_timeout(Duration::from_millis(50));
    let store = FileStore::open(config).await.expect("a store");
    store.compare_and_swap(COUNTER, Expected::Absent, numbered(1), None).await.expect("no failure");
    let lock = locked(&folder);
    let error = store.lease(COUNTER, MINUTE).await.expect_err("locked");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("tokens.lock: locked by another process for more than"), "{error}");
    assert!(store.load(COUNTER).await.expect("reading needs no lock").is_some());
    drop(lock);
    assert!(matches!(store.lease(COUNTER, MINUTE).await, Ok(LeaseOutcome::Acquired(_))));
}

#[tokio::test]
async fn a_write_that_is_given_up_comes_before_every_later_one() {
    let folder = Folder::new();
    let store = folder.open().await;
    let lock = locked(&folder);
    let swap = store.compare_and_swap(COUNTER, Expected::Absent, numbered(1), None);
    timeout(Duration::from_millis(50), swap).await.expect_err("the file is locked");
    let later = store.compare_and_swap(COUNTER, Expected::Absent, numbered(2), None);
    drop(lock);
    assert_eq!(later.await.expect("no failure"), Swap::Conflict, "the first was under way");
    let stored = store.load(COUNTER).await.expect("no failure").expect("a row");
    assert_eq!(number(&stored.row.sealed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_callers_take_turns() {
    let folder = Folder::new();
    // Less than all of them take: they wait for each other, and not for another process.
    let config = FileConfig::new(folder.file()).with_lock_timeout(Duration::from_millis(100));
    let store = FileStore::open(config).await.expect("a store");
    let calls = (0..300).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.lease(key(number), MINUTE).await })
    });
    for lease in join_all(calls).await {
        let lease = lease.expect("no panic");
        assert!(matches!(lease, Ok(LeaseOutcome::Acquired(_))), "{lease:?}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_file_that_is_deleted_lets_no_write_be_lost() {
    const WRITERS: u32 = 4;
    let folder = Folder::new();
    let store = folder.open().await;
    store.compare_and_swap(COUNTER, Expected::Absent, numbered(0), None).await.expect("no failure");
    let done = Arc::new(AtomicUsize::new(0));
    let path = lock_file(&folder);
    let deleting = tokio::task::spawn_blocking({
        let done = Arc::clone(&done);
        move || {
            while done.load(Ordering::Relaxed) < WRITERS as usize {
                let _ = fs::remove_file(&path);
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        let (store, done) = (folder.open().await, Arc::clone(&done));
        writers.push(tokio::spawn(async move {
            let mut written = 0;
            for _ in 0..50 {
                let Ok(Some(stored)) = store.load(COUNTER).await else { continue };
                let next = numbered(number(&stored.row.sealed) + 1);
                let swap = store.compare_and_swap(COUNTER, Expected::Unexpired(stored.version), next, None).await;
                // A write that notices the deletion in time is an error.
                written += u32::from(matches!(swap, Ok(Swap::Written(_))));
            }
            done.fetch_add(1, Ordering::Relaxed);
            written
        }));
    }
    let written: u32 = join_all(writers).await.into_iter().map(|written| written.expect("no panic")).sum();
    deleting.await.expect("no panic");
    let stored = store.load(COUNTER).await.expect("the file is whole").expect("a row");
    assert!(written > 0, "all writes failed");
    assert!(number(&stored.row.sealed) <= written, "a version was written twice");
}
