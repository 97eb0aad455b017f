//! What the store said is written is there afterwards, whatever happens to the process.

use std::{sync::Arc, time::Duration};

use portcullis_store::{Expected, LeaseOutcome, Store, Swap};
use portcullis_store_sqlite::{SqliteConfig, SqliteStore};
use portcullis_testkit::TestClock;
use tokio::time::{sleep, timeout};

use crate::{
    folder::Folder,
    process::{COUNTER, INCREMENTS, grant, number, numbered, says, spawn},
};

#[tokio::test]
async fn what_was_reported_is_there_after_a_kill() {
    let folder = Folder::new();
    let mut reported = 0;
    for round in 0..40 {
        let mut child = spawn("write", &folder.database());
        let mut lines = says(&mut child);
        lines.next().expect("something is written");
        // Each time at another moment.
        sleep(Duration::from_micros(137 * round)).await;
        child.kill().expect("SIGKILL");
        child.wait().expect("its end");
        reported = lines.last().map_or(reported + 1, |line| line.parse().expect("a number"));

        let store = SqliteStore::open(folder.database()).await.expect("a store");
        let stored = store.load(COUNTER).await.expect("no failure").expect("a row");
        let found = number(&stored.row.sealed);
        assert!(found == reported || found == reported + 1, "{reported} was written last, and {found} is there");
        reported = found;
    }
}

#[tokio::test]
async fn no_increment_of_several_processes_is_lost() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.database()).await.expect("a store");
    store.compare_and_swap(COUNTER, Expected::Absent, numbered(0), None).await.expect("no failure");
    let mut children: Vec<_> = (0..4).map(|_| spawn("increment", &folder.database())).collect();
    for child in &mut children {
        assert_eq!(says(child).collect::<Vec<_>>(), ["done"]);
        child.wait().expect("its end");
    }
    let stored = store.load(COUNTER).await.expect("no failure").expect("a row");
    assert_eq!(number(&stored.row.sealed), 4 * INCREMENTS);
}

#[tokio::test]
async fn versions_fences_and_leases_outlive_the_process() {
    let folder = Folder::new();
    let clock = TestClock::new();
    let open = || SqliteStore::open(SqliteConfig::new(folder.database()).with_clock(Arc::new(clock.clone())));
    let id = grant(1);

    let store = open().await.expect("a store");
    let Swap::Written(old) = store.compare_and_swap(id, Expected::Absent, numbered(1), None).await.unwrap() else {
        panic!()
    };
    assert!(store.compare_and_remove(id, old).await.unwrap());
    let LeaseOutcome::Acquired(first) = store.lease(id, Duration::from_secs(30)).await.unwrap() else { panic!() };
    drop(store);

    let store = open().await.expect("a store");
    assert_eq!(store.lease(id, Duration::from_secs(30)).await.unwrap(), LeaseOutcome::Held);
    clock.advance(Duration::from_secs(31));
    let LeaseOutcome::Acquired(second) = store.lease(id, Duration::from_secs(30)).await.unwrap() else { panic!() };
    assert!(second.after_abandoned, "its holder is gone, and what it did is not known");
    assert!(second.fence > first.fence);
    let Swap::Written(new) = store.compare_and_swap(id, Expected::Absent, numbered(2), None).await.unwrap() else {
        panic!()
    };
    assert!(new > old, "a version comes back");
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_transaction_behind() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.database()).await.expect("a store");
    store.compare_and_swap(COUNTER, Expected::Absent, numbered(0), None).await.expect("no failure");
    for round in 0..50 {
        let stored = store.load(COUNTER).await.expect("no failure").expect("a row");
        let next = numbered(number(&stored.row.sealed) + 1);
        let write = store.compare_and_swap(COUNTER, Expected::Unexpired(stored.version), next, None);
        let _ = timeout(Duration::from_micros(20 * round), write).await;
    }
    let lease = store.lease(COUNTER, Duration::from_secs(30)).await.expect("no failure");
    let LeaseOutcome::Acquired(lease) = lease else { panic!("{lease:?}") };
    let stored = store.load(COUNTER).await.expect("no failure").expect("a row");
    let swap = store.compare_and_swap(COUNTER, Expected::Unexpired(stored.version), numbered(99), Some(lease)).await;
    assert!(matches!(swap, Ok(Swap::Written(_))), "{swap:?}");
    // Another process sees it: it was committed, and not left in a transaction that is still open.
    let other = SqliteStore::open(folder.database()).await.expect("a store");
    assert_eq!(other.load(COUNTER).await.unwrap().expect("a row").row, numbered(99));
}
