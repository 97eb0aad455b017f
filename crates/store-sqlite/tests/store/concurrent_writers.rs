//! Concurrent writers, some of which fail or are cancelled.

use std::time::Duration;

use futures_util::future::join_all;
use portcullis_store::{Expected, LeaseOutcome, Store, Swap, Version};
use portcullis_store_sqlite::{SqliteConfig, SqliteStore};
use sqlx::{ConnectOptions, Executor, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    runtime::{Builder, Handle},
    time::{sleep, timeout},
};

use crate::{
    folder::Folder,
    process::{GRANTS, grant, numbered},
};

const MINUTE: Duration = Duration::from_mins(1);

async fn open(folder: &Folder) -> SqliteStore {
    SqliteStore::open(folder.database()).await.expect("a store")
}

async fn raw(folder: &Folder) -> SqliteConnection {
    SqliteConnectOptions::new().filename(folder.database()).connect().await.expect("a connection")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_who_refresh_at_once_are_all_served() {
    const MANY: u32 = 2_000;
    let folder = Folder::new();
    // Far less than all of them take: they wait for each other, and not for the lock of another process.
    let config = SqliteConfig::new(folder.database()).with_busy_timeout(Duration::from_millis(200));
    let store = SqliteStore::open(config).await.expect("a store");
    let refreshes = (0..MANY).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let lease = match store.lease(grant(number), MINUTE).await.expect("no failure") {
                LeaseOutcome::Acquired(lease) => lease,
                held @ LeaseOutcome::Held => panic!("{number}: {held:?}"),
            };
            let swap = store.compare_and_swap(grant(number), Expected::Absent, numbered(number), Some(lease)).await;
            assert!(matches!(swap, Ok(Swap::Written(_))), "{number}: {swap:?}");
        })
    });
    for refresh in join_all(refreshes).await {
        refresh.expect("no panic");
    }
    let rows = open(&folder).await.page(GRANTS, None, usize::MAX).await.expect("rows");
    assert_eq!(rows.len(), usize::try_from(MANY).expect("it fits"));
    assert!((0..).zip(rows).all(|(number, (found, row))| found == grant(number) && row.row == numbered(number)));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_is_acknowledged_before_it_is_committed() {
    let folder = Folder::new();
    let (store, other) = (open(&folder).await, open(&folder).await);
    let callers = (0..50).map(|caller| {
        let (store, other) = (store.clone(), other.clone());
        tokio::spawn(async move {
            for number in (caller..1000).step_by(50) {
                let swap = store.compare_and_swap(grant(number), Expected::Absent, numbered(number), None).await;
                assert!(matches!(swap, Ok(Swap::Written(_))), "{number}: {swap:?}");
                let row = other.load(grant(number)).await.expect("no failure");
                assert_eq!(row.expect("what others see").row, numbered(number));
            }
        })
    });
    for caller in join_all(callers).await {
        caller.expect("no panic");
    }
}

#[tokio::test]
async fn one_who_fails_does_not_hurt_those_it_is_committed_with() {
    let folder = Folder::new();
    let store = open(&folder).await;
    let mut raw = raw(&folder).await;
    // One row is damaged. Another one's failure ends the whole transaction, as that of a disk does.
    raw.execute(
        "INSERT INTO records
        VALUES (0, CAST(x'00000000000000000000000000000014' || zeroblob(16) AS BLOB), 9223372036854775807, x'00', 9223372036854775807);
        CREATE TRIGGER fails BEFORE INSERT ON records
        WHEN NEW.key = CAST(x'00000000000000000000000000000028' || zeroblob(16) AS BLOB)
        BEGIN SELECT RAISE(ROLLBACK, 'the disk is on fire'); END;",
    )
    .await
    .expect("no failure");
    let damaged = Expected::Unexpired(Version::new(i64::MAX.unsigned_abs()));
    let writes = (0..60).map(|number| {
        let expected = if number == 20 { damaged } else { Expected::Absent };
        store.compare_and_swap(grant(number), expected, numbered(number), None)
    });
    let outcomes = join_all(writes).await;
    for (number, outcome) in (0..).zip(outcomes) {
        match (number, outcome) {
            (20, Err(error)) => assert!(error.to_string().contains("cannot store REAL value"), "{error}"),
            (40, Err(error)) => assert!(error.to_string().contains("the disk is on fire"), "{error}"),
            (_, outcome) => assert!(matches!(outcome, Ok(Swap::Written(_))), "{number}: {outcome:?}"),
        }
    }
    let rows = open(&folder).await.page(GRANTS, None, 100).await.expect("rows");
    let written = rows.into_iter().filter(|(found, _)| *found != grant(20));
    let expected = (0..60).filter(|number| ![20, 40].contains(number));
    assert!(written.map(|(found, row)| (found, row.row)).eq(expected.map(|number| (grant(number), numbered(number)))));
}

#[tokio::test]
async fn a_write_whose_caller_has_gone_away_before_its_turn_is_not_done() {
    let folder = Folder::new();
    let store = open(&folder).await;
    let mut other = raw(&folder).await;
    other.execute("BEGIN IMMEDIATE").await.expect("the lock");
    // The first waits for the lock, and the others for the first.
    let writes = join_all((0..1000).map(|number| store.lease(grant(number), MINUTE)));
    timeout(Duration::from_millis(50), writes).await.expect_err("the database is locked");
    other.execute("ROLLBACK").await.expect("no failure");
    for number in 0..1000 {
        let LeaseOutcome::Acquired(lease) = store.lease(grant(number), MINUTE).await.expect("no failure") else {
            panic!("{number}: leased to a caller that was not told");
        };
        assert!(!lease.after_abandoned, "{number}");
    }
}

#[tokio::test]
async fn with_the_last_handle_goes_everything() {
    let folder = Folder::new();
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let store = open(&folder).await;
    let clone = store.clone();
    clone.compare_and_swap(grant(1), Expected::Absent, numbered(1), None).await.expect("no failure");
    assert_eq!(tasks(), before + 1, "it writes on one task");
    drop(store);
    let swap = clone.compare_and_swap(grant(2), Expected::Absent, numbered(2), None).await;
    assert!(matches!(swap, Ok(Swap::Written(_))), "{swap:?}");
    drop(clone);
    // SQLite removes the journal when the last connection is closed, each on a thread of its own.
    let journal = folder.path().join("portcullis.db-wal");
    let gone = async {
        while tasks() > before || journal.exists() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(MINUTE, gone).await.expect("no task and no connection is left");
}

#[test]
fn a_store_whose_runtime_has_ended_says_so() {
    let folder = Folder::new();
    let runtime = || Builder::new_current_thread().enable_all().build().expect("a runtime");
    let store = runtime().block_on(open(&folder));
    let error =
        runtime().block_on(store.compare_and_remove(grant(1), Version::new(1))).expect_err("there is no writer");
    assert!(error.to_string().ends_with("portcullis.db: the runtime in which it was opened has ended"), "{error}");
}
