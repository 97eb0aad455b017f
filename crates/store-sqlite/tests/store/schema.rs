//! Schemas of earlier, of later, and of other programs.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use portcullis_core::UnixTime;
use portcullis_store::{Collection, Expected, Lease, LeaseOutcome, RecordKey, Row, Store, Swap, Version};
use portcullis_store_sqlite::{SqliteError, SqliteStore};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    folder::Folder,
    process::{GRANTS, numbered, spawn},
    records::remembers,
};

/// The first version as it was released: grants, and nothing about leases.
const FIRST: &str = concat!(
    "PRAGMA journal_mode = WAL;",
    include_str!("../../migrations/1.sql"),
    "PRAGMA application_id = 0x506f7274; PRAGMA user_version = 1;"
);

/// The second one: leases, and an order by expiry.
const SECOND: &str = concat!(include_str!("../../migrations/2.sql"), "PRAGMA user_version = 2;");

/// The third one: what an authorization server remembers.
const THIRD: &str = concat!(include_str!("../../migrations/3.sql"), "PRAGMA user_version = 3;");

/// The last one that is known.
const LAST: i64 = 4;

/// The key of the grant whose id consists of this byte.
fn id(byte: u8) -> RecordKey {
    RecordKey::of_id(GRANTS, &[byte; 16])
}

async fn raw(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    options.connect().await.expect("a connection")
}

async fn number(connection: &mut SqliteConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.expect("a number")
}

async fn open(path: &Path) -> Result<SqliteStore, SqliteError> {
    SqliteStore::open(path).await
}

#[tokio::test]
async fn the_first_version_is_upgraded_with_what_is_in_it() {
    let folder = Folder::new();
    let mut connection = raw(&folder.database()).await;
    connection.execute(FIRST).await.expect("the first schema");
    let rows =
        "INSERT INTO grants VALUES (zeroblob(16), 7, x'00ff', NULL), (randomblob(16), 9, x'01', 4102444800000000000);
        DELETE FROM grants WHERE version = 9;
        INSERT INTO grants VALUES (x'01010101010101010101010101010101', 3, x'02', 4102444800000000000);";
    connection.execute(rows).await.expect("rows");
    drop(connection);

    let store = open(&folder.database()).await.expect("a store");
    let rows = store.page(GRANTS, None, 10).await.expect("rows");
    let in_2100 = UnixTime::from_secs(4_102_444_800);
    let first = (id(0), Version::new(7), Row::new(vec![0, 0xff].into(), UnixTime::MAX));
    let second = (id(1), Version::new(3), Row::new(vec![2].into(), in_2100));
    let rows: Vec<_> = rows.into_iter().map(|(id, stored)| (id, stored.version, stored.row)).collect();
    assert_eq!(rows, [first, second]);
    let new = store.compare_and_swap(id(2), Expected::Absent, numbered(1), None).await;
    assert!(matches!(new, Ok(Swap::Written(version)) if version > Version::new(9)), "a version comes back: {new:?}");
    let lease = store.lease(id(0), Duration::from_secs(30)).await;
    assert!(matches!(lease, Ok(LeaseOutcome::Acquired(_))), "{lease:?}");
    remembers(Arc::new(store)).await;
    assert_eq!(number(&mut raw(&folder.database()).await, "PRAGMA user_version").await, LAST);
}

#[tokio::test]
async fn the_second_version_is_upgraded_with_what_is_in_it() {
    let folder = Folder::new();
    let mut connection = raw(&folder.database()).await;
    connection.execute(FIRST).await.expect("the first schema");
    connection.execute(SECOND).await.expect("the second schema");
    let rows = "INSERT INTO grants VALUES (zeroblob(16), 9, x'00ff', NULL), (randomblob(16), 9, x'01', NULL);
        DELETE FROM grants WHERE sealed = x'01';
        INSERT INTO leases (fence, id, until) VALUES (41, zeroblob(16), 4102444800000000000);";
    connection.execute(rows).await.expect("rows");
    drop(connection);

    let store = open(&folder.database()).await.expect("a store");
    let stored = store.load(id(0)).await.expect("no failure").expect("a row");
    let expected = Row::new(vec![0, 0xff].into(), UnixTime::MAX);
    assert_eq!((stored.version, stored.row), (Version::new(9), expected));
    let known = Lease::new(41, false);
    let renewed = store.renew(id(0), known, Duration::from_secs(30)).await;
    assert!(renewed.expect("no failure"), "a lease is lost");
    remembers(Arc::new(store)).await;
    assert_eq!(number(&mut raw(&folder.database()).await, "PRAGMA user_version").await, LAST);
}

#[tokio::test]
async fn the_third_version_is_upgraded_with_what_is_in_it() {
    let folder = Folder::new();
    let mut connection = raw(&folder.database()).await;
    for schema in [FIRST, SECOND, THIRD] {
        connection.execute(schema).await.expect("a schema");
    }
    let rows = "INSERT INTO grants VALUES (x'01010101010101010101010101010101', 9, x'00ff', NULL),
            (x'02020202020202020202020202020202', 4, x'01', 4102444800000000000),
            (CAST('portcullis:check' AS BLOB), 1, x'02', NULL), (randomblob(16), 9, x'09', NULL);
        DELETE FROM grants WHERE sealed = x'09';
        INSERT INTO records VALUES (2, x'0707070707070707070707070707070707070707070707070707070707070707', 5, x'03', 4102444800000000000);
        INSERT INTO leases (fence, id, until) VALUES (41, x'01010101010101010101010101010101', 4102444800000000000), (43, zeroblob(16), 1);
        DELETE FROM leases WHERE fence = 43;";
    connection.execute(rows).await.expect("rows");
    drop(connection);

    let store = open(&folder.database()).await.expect("a store");
    let in_2100 = UnixTime::from_secs(4_102_444_800);
    let grants = store.page(GRANTS, None, 10).await.expect("rows");
    let grants: Vec<_> = grants.into_iter().map(|(key, stored)| (key, stored.version, stored.row)).collect();
    let first = (id(1), Version::new(9), Row::new(vec![0, 0xff].into(), UnixTime::MAX));
    let second = (id(2), Version::new(4), Row::new(vec![1].into(), in_2100));
    assert_eq!(grants, [first, second], "the row that checks keys is no grant");
    let check = RecordKey::of_id(Collection::new(63, "key check").with_id_binding(), b"portcullis:check");
    assert_eq!(store.load(check).await.expect("no failure").expect("a row").row.sealed, vec![2]);
    let login = RecordKey::new(Collection::new(2, "logins"), [7; 32]);
    let login = store.load(login).await.expect("no failure").expect("a row");
    assert_eq!((login.version, login.row), (Version::new(5), Row::new(vec![3].into(), in_2100)));
    let renewed = store.renew(id(1), Lease::new(41, false), Duration::from_secs(30)).await;
    assert!(renewed.expect("no failure"), "a lease is lost");
    let LeaseOutcome::Acquired(lease) = store.lease(id(3), Duration::from_secs(30)).await.expect("no failure") else {
        panic!("a lease is held that no process has");
    };
    assert!(lease.fence > 43, "a fence comes back");
    remembers(Arc::new(store)).await;
    assert_eq!(number(&mut raw(&folder.database()).await, "PRAGMA user_version").await, LAST);
}

/// Kills a process that upgrades a copy of `original` when its journal has this number of bytes. Whether that was before it was done;
/// whenever it was, the schema is one or the other.
async fn is_killed_in_the_middle(folder: &Folder, original: &Path, before: i64, journal: u64) -> bool {
    let wal = folder.path().join("portcullis.db-wal");
    for file in [&wal, &folder.path().join("portcullis.db-shm")] {
        let _ = fs::remove_file(file);
    }
    fs::copy(original, folder.database()).expect("a copy");
    let mut child = spawn("open", &folder.database());
    while fs::metadata(&wal).map_or(0, |wal| wal.len()) < journal && child.try_wait().expect("no failure").is_none() {
        std::hint::spin_loop();
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");

    let mut connection = raw(&folder.database()).await;
    let version = number(&mut connection, "PRAGMA user_version").await;
    let new = "SELECT count(*) FROM sqlite_schema WHERE name IN ('leases', 'grants_by_expiry')";
    let new = number(&mut connection, new).await;
    let expected = [(1, 0), (2, 2), (3, 2), (4, 1)];
    assert!(expected.contains(&(version, new)), "version {version}, with {new} of the second's");
    let records = "SELECT count(*) FROM sqlite_schema WHERE tbl_name = 'records' AND sql IS NOT NULL";
    let records = number(&mut connection, records).await;
    assert_eq!(records, if version >= 3 { 3 } else { 0 }, "version {version}, with {records} of the third's");
    let events = "SELECT count(*) FROM sqlite_schema WHERE name = 'events'";
    assert_eq!(number(&mut connection, events).await, i64::from(version == 4), "version {version}");
    let grants = "SELECT count(*) FROM sqlite_schema WHERE name = 'grants'";
    assert_eq!(number(&mut connection, grants).await, i64::from(version < 4), "version {version}");
    version == before
}

/// Returns a database of version `version` with enough grants for a migration to take a while.
async fn large(folder: &Folder, version: i64) -> PathBuf {
    let original = folder.path().join(format!("original-{version}.db"));
    let mut connection = raw(&original).await;
    for schema in [FIRST, SECOND, THIRD].into_iter().take(usize::try_from(version).expect("a version")) {
        connection.execute(schema).await.expect("a schema");
    }
    let fill = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
         INSERT INTO grants SELECT randomblob(16), i, x'00', 4102444800000000000 + random() % 1000000000 FROM n;
         PRAGMA wal_checkpoint(TRUNCATE);"
    );
    connection.execute(AssertSqlSafe(fill)).await.expect("rows");
    original
}

/// The number of rows of a [`large`] database.
const ROWS: i64 = 60_000;

/// The migrations that read and write every grant are the second, and the fourth, which moves them.
#[tokio::test]
async fn a_kill_in_the_middle_of_a_migration_leaves_the_schema_before_it() {
    for before in [1, 3] {
        let folder = Folder::new();
        let original = large(&folder, before).await;
        for wal in [1, 150_000, 300_000] {
            let mut attempts = 0;
            while !is_killed_in_the_middle(&folder, &original, before, wal).await {
                attempts += 1;
                assert!(attempts < 50, "migration {} is always over before its journal has {wal} bytes", before + 1);
            }
            let mut connection = raw(&folder.database()).await;
            assert_eq!(number(&mut connection, "SELECT count(*) FROM grants").await, ROWS);
        }
        open(&folder.database()).await.expect("a store: the next process finishes it");
        let mut connection = raw(&folder.database()).await;
        assert_eq!(number(&mut connection, "PRAGMA user_version").await, LAST);
        assert_eq!(number(&mut connection, "SELECT count(*) FROM records").await, ROWS);
        let sound: String =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.expect("an answer");
        assert_eq!(sound, "ok");
    }
}

#[tokio::test]
async fn a_later_version_is_refused_and_left_alone() {
    let folder = Folder::new();
    drop(open(&folder.database()).await.expect("a store"));
    raw(&folder.database()).await.execute("PRAGMA user_version = 5").await.expect("no failure");
    let error = open(&folder.database()).await.expect_err("later").to_string();
    assert!(
        error
            .ends_with("portcullis.db: of a later version of this program (schema 5, and 4 is the last that is known)"),
        "{error}"
    );
    assert_eq!(number(&mut raw(&folder.database()).await, "PRAGMA user_version").await, 5);
}

#[tokio::test]
async fn the_database_of_another_program_is_refused_and_left_alone() {
    for theirs in ["CREATE TABLE grants (id)", "PRAGMA application_id = 7", "PRAGMA user_version = 1"] {
        let folder = Folder::new();
        raw(&folder.database()).await.execute(theirs).await.expect("no failure");
        let before = fs::read(folder.database()).expect("a file");
        let permissions = fs::metadata(folder.database()).expect("a file").permissions();
        let error = open(&folder.database()).await.expect_err("foreign");
        assert!(matches!(error, SqliteError::Foreign { .. }), "{error}");
        assert!(error.to_string().ends_with("portcullis.db: a database, but not of this program"), "{error}");
        assert_eq!(fs::read(folder.database()).expect("a file"), before, "{theirs}");
        assert_eq!(fs::metadata(folder.database()).expect("a file").permissions(), permissions);
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = Folder::new();
    let text = "listen = \"127.0.0.1:8000\" # the configuration instead of the database\n".repeat(20);
    fs::write(folder.database(), &text).expect("a file");
    let error = open(&folder.database()).await.expect_err("no database").to_string();
    assert!(error.contains("portcullis.db") && error.contains("file is not a database"), "{error}");
    assert_eq!(fs::read_to_string(folder.database()).expect("a file"), text);
}

#[tokio::test]
async fn names_that_mean_something_to_sqlite_are_files() {
    let folder = Folder::new();
    for name in [":memory:", "file:portcullis.db?mode=memory"] {
        let store = open(&folder.path().join(name)).await.expect("a store");
        assert!(store.is_durable() && folder.path().join(name).exists());
    }
}
