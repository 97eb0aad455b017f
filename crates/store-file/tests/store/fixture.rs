//! [`Folder`]: a folder of a test's own; and processes of a test's own: this program again, in another role.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use portcullis_core::UnixTime;
use portcullis_store::{Collection, Expected, LeaseOutcome, RecordKey, Row, Store, Swap, Version};
use portcullis_store_file::FileStore;
use tokio::runtime::Builder;

/// A folder of a test's own, which is gone when the test is over.
pub(crate) struct Folder(PathBuf);

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Folder {
    pub(crate) fn new() -> Self {
        Self::below(&env::temp_dir())
    }

    /// A folder in memory where there is one: for tests of what is not durability.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::below(memory) } else { Self::new() }
    }

    fn below(folder: &Path) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("portcullis-file-{}-{number}", process::id()));
        fs::create_dir_all(&path).expect("a folder");
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("no failure");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The folder of the store is created by the store.
    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("example").join("tokens")
    }

    pub(crate) async fn open(&self) -> FileStore {
        FileStore::open(self.file()).await.expect("a store")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const ROLE: &str = "PORTCULLIS_TEST_ROLE";
const FILE: &str = "PORTCULLIS_TEST_FILE";
/// What the process has to say begins with it; the test harness says more.
const MARK: &str = "| ";

/// So often the role `increment` increments.
pub(crate) const INCREMENTS: u32 = 40;

pub(crate) const COLLECTION: Collection = Collection::new(200, "test");

pub(crate) const COUNTER: RecordKey = RecordKey::new(COLLECTION, *b"the counter                     ");

pub(crate) fn key(number: u32) -> RecordKey {
    RecordKey::of(COLLECTION, &[&number.to_be_bytes()])
}

/// This program in `role`, on `file`.
pub(crate) fn command(program: &Path, role: &str, file: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["fixture::a_process_of_its_own", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(FILE, file).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

pub(crate) fn spawn(role: &str, file: &Path) -> Child {
    command(&env::current_exe().expect("a path"), role, file).spawn().expect("a process")
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

pub(crate) fn written(swap: Swap) -> Option<Version> {
    if let Swap::Written(version) = swap { Some(version) } else { None }
}

#[test]
#[ignore = "run by other tests as a process of its own"]
fn a_process_of_its_own() {
    let (Ok(role), Some(file)) = (env::var(ROLE), env::var_os(FILE)) else { return };
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = FileStore::open(Path::new(&file)).await;
        match role.as_str() {
            "open" => println!("{MARK}{}", store.map_or_else(|error| error.to_string(), |_| "open".to_owned())),
            "write" => write(store.expect("a store")).await,
            "increment" => increment(store.expect("a store")).await,
            "lease" => lease(store.expect("a store")).await,
            "key" => {
                let keys = store.expect("a store").keys_in_file(Path::new(&file).with_file_name("key")).await;
                println!("{MARK}{:?}", keys.expect("a key"));
            }
            #[cfg(feature = "keyring")]
            "keyring" => {
                let keys = store.expect("a store").keys_in_keyring("example", "tokens").await;
                println!("{MARK}{}", keys.map_or_else(|error| error.to_string(), |keys| format!("{keys:?}")));
            }
            _ => unreachable!("{role}"),
        }
    });
}

/// Writes one number after the other, and says which are written, until it cannot.
async fn write(store: FileStore) {
    let seen = store.load(COUNTER).await.expect("no failure");
    let mut version = seen.as_ref().map(|stored| stored.version);
    for next in seen.map_or(0, |stored| number(&stored.row.sealed)) + 1.. {
        let expected = version.map_or(Expected::Absent, Expected::Unexpired);
        let swap = store.compare_and_swap(COUNTER, expected, numbered(next), None).await.expect("room");
        version = Some(written(swap).expect("there is no other writer"));
        // So that a limit is met.
        let filler = Row::new(vec![7; 2_000].into(), UnixTime::MAX);
        store.compare_and_swap(key(next), Expected::Absent, filler, None).await.expect("room");
        println!("{MARK}{next}");
    }
}

/// Increments, as others do at the same time.
async fn increment(store: FileStore) {
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

/// Acquires a lease, says so, and hangs.
async fn lease(store: FileStore) {
    let lease = store.lease(COUNTER, Duration::from_secs(60)).await.expect("no failure");
    assert!(matches!(lease, LeaseOutcome::Acquired(_)), "{lease:?}");
    println!("{MARK}leased");
    std::future::pending::<()>().await;
}
