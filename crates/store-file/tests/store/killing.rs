//! Processes that share a file, and are killed at any point.

use std::{fs, time::Duration};

use portcullis_core::SystemClock;
use portcullis_store::{Expected, LeaseOutcome, Store};
use portcullis_store_file::{FileConfig, FileStore};

use crate::fixture::{COUNTER, Folder, INCREMENTS, number, numbered, says, spawn};

#[tokio::test]
async fn processes_that_write_at_the_same_time_lose_no_write() {
    const PROCESSES: u32 = 4;
    let folder = Folder::new();
    let store = folder.open().await;
    store.compare_and_swap(COUNTER, Expected::Absent, numbered(0), None).await.expect("no failure");
    let processes: Vec<_> = (0..PROCESSES).map(|_| spawn("increment", &folder.file())).collect();
    for mut process in processes {
        assert_eq!(says(&mut process).last().as_deref(), Some("done"));
        process.wait().expect("its end");
    }
    let stored = store.load(COUNTER).await.expect("no failure").expect("a row");
    assert_eq!(number(&stored.row.sealed), PROCESSES * INCREMENTS);
}

#[tokio::test]
async fn what_was_reported_is_there_after_a_kill_at_any_point() {
    let folder = Folder::new();
    let mut highest = 0;
    for round in 0..25_u32 {
        let mut child = spawn("write", &folder.file());
        let mut said = says(&mut child);
        let first = said.next().expect("it writes");
        // At another point of a write each time.
        std::thread::sleep(Duration::from_micros(u64::from(round) * 977));
        child.kill().expect("SIGKILL");
        let reported = said.last().unwrap_or(first).parse::<u32>().expect("a number");
        child.wait().expect("its end");
        let store = folder.open().await;
        let stored = store.load(COUNTER).await.expect("the file is whole").expect("a row");
        let found = number(&stored.row.sealed);
        assert!(found >= reported && found > highest, "{found} is there, {reported} was reported");
        highest = found;
    }
    let left = fs::read_dir(folder.file().parent().expect("a folder")).expect("a folder").count();
    assert!(left <= 3, "temporary files accumulate");
}

#[tokio::test]
async fn the_lease_of_a_process_that_was_killed_expires() {
    let folder = Folder::new();
    let mut child = spawn("lease", &folder.file());
    assert_eq!(says(&mut child).next().as_deref(), Some("leased"));
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");
    let minute = Duration::from_secs(60);
    let store = folder.open().await;
    assert_eq!(store.lease(COUNTER, minute).await.expect("no failure"), LeaseOutcome::Held);

    let later = portcullis_testkit::TestClock::new();
    later.set(portcullis_core::Clock::now(&SystemClock::new()) + minute);
    let store = FileStore::open(FileConfig::new(folder.file()).with_clock(std::sync::Arc::new(later))).await;
    let lease = store.expect("a store").lease(COUNTER, minute).await.expect("no failure");
    assert!(matches!(lease, LeaseOutcome::Acquired(lease) if lease.after_abandoned && lease.fence == 2), "{lease:?}");
}
