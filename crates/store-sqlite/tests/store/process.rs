//! Processes of a test's own: this program again, in another role.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use portcullis_core::UnixTime;
use portcullis_store::{Collection, Expected, RecordKey, Row, Store, Swap, Version};
use portcullis_store_sqlite::{SqliteError, SqliteStore};
use tokio::runtime::Builder;

use crate::records;

const ROLE: &str = "PORTCULLIS_TEST_ROLE";
const DATABASE: &str = "PORTCULLIS_TEST_DATABASE";
/// What the process has to say begins with it; the test harness says more.
pub(crate) const MARK: &str = "| ";

/// So often the role `increment` increments.
pub(crate) const INCREMENTS: u32 = 50;

pub(crate) const GRANTS: Collection = Collection::new(0, "grants").with_id_binding();

pub(crate) const COUNTER: RecordKey = RecordKey::new(GRANTS, *b"the counter                     ");

/// The key of the grant with this number.
pub(crate) fn grant(number: u32) -> RecordKey {
    RecordKey::of_id(GRANTS, &u128::from(number).to_be_bytes())
}

/// The row in this version, or none.
pub(crate) fn expected(version: Option<Version>) -> Expected {
    version.map_or(Expected::Absent, Expected::Unexpired)
}

/// This program in `role`, on `database`.
pub(crate) fn command(program: &Path, role: &str, database: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["process::a_process_of_its_own", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(DATABASE, database).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

pub(crate) fn spawn(role: &str, database: &Path) -> Child {
    command(&env::current_exe().expect("a path"), role, database).spawn().expect("a process")
}

/// What the process says, until it ends or is killed.
pub(crate) fn says(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    lines.map_while(Result::ok).filter_map(|line| Some(line.split_once(MARK)?.1.to_owned()))
}

pub(crate) fn number(sealed: &[u8]) -> u32 {
    u32::from_be_bytes(sealed.try_into().expect("four bytes"))
}

pub(crate) fn numbered(number: u32) -> Row {
    Row::new(number.to_be_bytes().to_vec().into(), UnixTime::MAX)
}

#[test]
#[ignore = "run by other tests as a process of its own"]
fn a_process_of_its_own() {
    let (Ok(role), Some(database)) = (env::var(ROLE), env::var_os(DATABASE)) else { return };
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = SqliteStore::open(Path::new(&database)).await;
        match role.as_str() {
            "open" => println!("{MARK}{}", store.map_or_else(|error| error.to_string(), |_| "open".to_owned())),
            "write" => write(store).await,
            "increment" => increment(store).await,
            "log in" => records::log_in(store.expect("a store")).await,
            _ => unreachable!("{role}"),
        }
    });
}

/// Writes one number after the other, and says which are written, until it cannot.
async fn write(store: Result<SqliteStore, SqliteError>) {
    let store = store.expect("a store");
    let seen = store.load(COUNTER).await.expect("a row");
    let mut version = seen.as_ref().map(|stored| stored.version);
    for next in seen.map_or(0, |stored| number(&stored.row.sealed)) + 1.. {
        let swap = store.compare_and_swap(COUNTER, expected(version), numbered(next), None).await.expect("room");
        version = written(swap);
        println!("{MARK}{next}");
    }
}

pub(crate) fn written(swap: Swap) -> Option<Version> {
    if let Swap::Written(version) = swap { Some(version) } else { None }
}

/// Increments, as others do at the same time.
async fn increment(store: Result<SqliteStore, SqliteError>) {
    let store = store.expect("a store");
    for _ in 0..INCREMENTS {
        loop {
            let stored = store.load(COUNTER).await.expect("no failure").expect("a row");
            let next = numbered(number(&stored.row.sealed) + 1);
            let swap = store.compare_and_swap(COUNTER, Expected::Unexpired(stored.version), next, None).await;
            if written(swap.expect("no failure")).is_some() {
                break;
            }
        }
    }
    println!("{MARK}done");
}
