//! The lock of the file: other processes have it, keep it too long, or its file is deleted.

use std::{
    fs::{self, File, OpenOptions},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use portcullis_store::{Expected, LeaseOutcome, Store, StoreErrorKind, Swap};
use portcullis_store_file::{FileConfig, FileStore};
use tokio::time::timeout;

use crate::fixture::{COUNTER, Folder, key, number, numbered};

const MINUTE: Duration = Duration::from_mins(1);

/// Locks the file as another process does: on Unix by its folder, elsewhere by a lock file.
fn locked(folder: &Folder) -> File {
    let path = folder.file();
    let file = if cfg!(unix) {
        File::open(path.parent().expect("a folder"))
    } else {
        OpenOptions::new().write(true).open(path.with_file_name("tokens.lock"))
    };
    let file = file.expect("what is locked");
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
    assert!(error.to_string().contains("tokens: locked by another process for more than"), "{error}");
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

/// A lock file that can be deleted locks nothing from then on: two processes write at the same time.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn files_beside_it_that_are_deleted_let_no_write_be_lost() {
    const WRITERS: usize = 4;
    let folder = Folder::new();
    let store = folder.open().await;
    store.compare_and_swap(COUNTER, Expected::Absent, numbered(0), None).await.expect("no failure");
    let (is_over, path) = (Arc::new(AtomicBool::new(false)), folder.file());
    let deleting = std::thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || {
            while !is_over.load(Ordering::Relaxed) {
                for entry in fs::read_dir(path.parent().expect("a folder")).expect("a folder").flatten() {
                    if entry.path() != path {
                        let _ = fs::remove_file(entry.path());
                    }
                }
            }
        }
    });
    let writers = (0..WRITERS).map(|_| tokio::spawn(increment(folder.file())));
    let outcomes = join_all(writers).await;
    is_over.store(true, Ordering::Relaxed);
    deleting.join().expect("no panic");
    let written: u32 = outcomes.into_iter().map(|written| written.expect("no panic")).sum();
    let stored = store.load(COUNTER).await.expect("the file is whole").expect("a row");
    assert!(written > 0, "all writes failed");
    assert_eq!(number(&stored.row.sealed), written, "a version was written twice");
}

/// Increments as another process does. Returns how often a write was reported; one whose file was deleted is an error.
#[cfg(unix)]
async fn increment(file: PathBuf) -> u32 {
    let store = FileStore::open(file).await.expect("a store");
    let mut written = 0;
    for _ in 0..50 {
        let stored = store.load(COUNTER).await.expect("the file is whole").expect("a row");
        let next = numbered(number(&stored.row.sealed) + 1);
        let swap = store.compare_and_swap(COUNTER, Expected::Unexpired(stored.version), next, None).await;
        written += u32::from(matches!(swap, Ok(Swap::Written(_))));
    }
    written
}
