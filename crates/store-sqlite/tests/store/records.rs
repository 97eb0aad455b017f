//! Records: what was reported is so afterwards, whatever happens to the process.

use std::{process, sync::Arc, time::Duration};

use portcullis_core::UnixTime;
use portcullis_store::{Collection, Expected, RecordKey, Row, Store, Version};
use portcullis_store_sqlite::SqliteStore;
use tokio::time::sleep;

use crate::{
    folder::Folder,
    process::{MARK, says, spawn, written},
};

fn record() -> Row {
    Row::new(vec![0xab; 700].into(), UnixTime::from_secs(4_102_444_800))
}

/// The state of the login of this number in the process `id`.
fn state(id: u32, number: u32) -> RecordKey {
    RecordKey::of(Collection::new(2, "logins"), &[&id.to_be_bytes(), &number.to_be_bytes()])
}

/// The table is there and in use.
pub(crate) async fn remembers(store: Arc<dyn Store>) {
    let version = store.compare_and_swap(state(0, 0), Expected::Absent, record(), None).await.expect("no failure");
    let version = written(version).expect("a new record");
    assert!(version > Version::new(9), "above all that were removed");
    assert!(store.load(state(0, 0)).await.expect("no failure").is_some());
}

/// Logs users in: a login begins, and the one before it comes to its end, which it may do once.
pub(crate) async fn log_in(store: SqliteStore) {
    let mut last = None;
    for number in 0.. {
        let version = store
            .compare_and_swap(state(process::id(), number), Expected::Absent, record(), None)
            .await
            .expect("no failure");
        println!("{MARK}begun {number}");
        if let Some((number, version)) = last.replace((number, written(version).expect("a new record"))) {
            assert!(store.compare_and_remove(state(process::id(), number), version).await.expect("no failure"));
            println!("{MARK}ended {number}");
        }
    }
}

#[tokio::test]
async fn what_was_begun_is_there_after_a_kill_and_what_was_ended_is_not() {
    let folder = Folder::new();
    for round in 0..40 {
        let mut child = spawn("log in", &folder.database());
        let mut lines = says(&mut child);
        lines.next().expect("a login begins");
        // Each time at another moment.
        sleep(Duration::from_micros(137 * round)).await;
        child.kill().expect("SIGKILL");
        child.wait().expect("its end");
        let store = SqliteStore::open(folder.database()).await.expect("a store");
        let is_there = async |number| store.load(state(child.id(), number)).await.expect("no failure").is_some();
        let (mut begun, mut ended) = (0, None::<u32>);
        for line in lines {
            match line.split_once(' ').expect("two words") {
                ("begun", number) => begun = number.parse().expect("a number"),
                (_, number) => ended = Some(number.parse().expect("a number")),
            }
        }
        // The one before the last may have been ended without a word.
        assert!(is_there(begun).await, "{begun} was begun");
        for number in 0..ended.map_or(0, |ended| ended + 1) {
            assert!(!is_there(number).await, "{number} was ended");
        }
    }
}

#[tokio::test]
async fn no_version_comes_back_in_another_process() {
    let folder = Folder::new();
    let open = || SqliteStore::open(folder.database());
    let store = open().await.expect("a store");
    let swap = store.compare_and_swap(state(1, 1), Expected::Absent, record(), None).await;
    let old = written(swap.unwrap()).expect("a new record");
    let swap = store.compare_and_swap(state(1, 1), Expected::Unexpired(old), record(), None).await;
    let old = written(swap.unwrap()).expect("it is in this version");
    assert!(store.compare_and_remove(state(1, 1), old).await.unwrap());
    drop(store);

    let store = open().await.expect("a store");
    let swap = store.compare_and_swap(state(1, 1), Expected::Absent, record(), None).await;
    let new = written(swap.unwrap()).expect("a new record");
    assert!(new > old, "{new:?} after {old:?}");
}
