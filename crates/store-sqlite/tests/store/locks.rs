//! A database that another process keeps locked.

use std::{path::Path, time::Duration};

use portcullis_store::{Expected, Store, Swap};
use portcullis_store_sqlite::{SqliteConfig, SqliteError, SqliteStore};
use sqlx::{ConnectOptions, Executor, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::time::Instant;

use crate::{
    folder::Folder,
    process::{COUNTER, numbered},
};

const BUSY_TIMEOUT: Duration = Duration::from_millis(200);

async fn impatient(path: &Path) -> Result<SqliteStore, SqliteError> {
    SqliteStore::open(SqliteConfig::new(path).with_busy_timeout(BUSY_TIMEOUT)).await
}

/// A guard that keeps the database locked until it is dropped.
async fn lock(path: &Path) -> SqliteConnection {
    let mut other = SqliteConnectOptions::new().filename(path).connect().await.expect("a connection");
    other.execute("BEGIN IMMEDIATE").await.expect("the lock");
    other
}

#[tokio::test]
async fn a_write_fails_in_time_and_a_later_one_succeeds() {
    let folder = Folder::new();
    let store = impatient(&folder.database()).await.expect("a store");
    let swap = store.compare_and_swap(COUNTER, Expected::Absent, numbered(1), None).await.expect("no failure");
    let Swap::Written(version) = swap else { panic!("{swap:?}") };

    let mut other = lock(&folder.database()).await;
    let start = Instant::now();
    let writes = (0..5).map(|_| store.compare_and_swap(COUNTER, Expected::Unexpired(version), numbered(2), None));
    for outcome in futures_util::future::join_all(writes).await {
        let error = outcome.expect_err("locked").to_string();
        assert!(error.contains("portcullis.db: locked by another process for more than 200ms"), "{error}");
    }
    assert!(start.elapsed() < 10 * BUSY_TIMEOUT, "they waited {:?}", start.elapsed());
    let stored = store.load(COUNTER).await.expect("readers do not wait").expect("a row");
    assert_eq!(stored.version, version);

    other.execute("ROLLBACK").await.expect("no failure");
    let swap = store.compare_and_swap(COUNTER, Expected::Unexpired(version), numbered(3), None).await;
    assert!(matches!(swap, Ok(Swap::Written(_))), "{swap:?}");
}

#[tokio::test]
async fn a_store_that_is_locked_is_not_opened() {
    let folder = Folder::new();
    impatient(&folder.database()).await.expect("a store");
    let mut other = lock(&folder.database()).await;
    let error = impatient(&folder.database()).await.expect_err("locked");
    assert!(matches!(error, SqliteError::Locked { .. }), "{error}");
    other.execute("ROLLBACK").await.expect("no failure");
    impatient(&folder.database()).await.expect("a store");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_open_a_new_store_at_once() {
    let folder = Folder::new();
    let openings = (0..8).map(|_| tokio::spawn(SqliteStore::open(folder.database())));
    for opened in futures_util::future::join_all(openings).await {
        opened.expect("no panic").expect("a store");
    }
}
