//! [`FileStore`]: the store in a file.

use std::{
    fmt, panic,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use portcullis_core::UnixTime;
use portcullis_store::{
    Collection, Events, Expected, Lease, LeaseOutcome, Position, RecordKey, Row, Store, StoreError, StoreFuture,
    StoredRow, Swap, Table, Version,
};
use tokio::{sync::Mutex, task::spawn_blocking, time::sleep};

use crate::{FileConfig, FileStoreError, disk::Disk, format::Content};

/// A store in one file, for the few rows of a desktop program. Clones are the same store; any number of processes of one user may have
/// the file open.
///
/// Every write replaces the file as a whole: a temporary file in the same folder, `fsync`, a rename, `fsync` of the folder. So a write
/// that was reported is on the disk, and a process that is killed at any point, a full disk and a read-only one leave the file as it was
/// or as it was to be. It is for hundreds of rows, not for a server: there, use an SQLite database.
///
/// The folder of the file is locked for the time of a write, by the operating system (on Windows a lock file beside the file, `.lock`):
/// the lock of a process that is killed is free. A caller waits for it for the [lock timeout](FileConfig::with_lock_timeout). The lock is
/// never held while a caller waits for anything but the disk; leases are rows of the file, and expire. Reading needs no lock. Not for
/// network file systems.
///
/// The file and a key file are created with mode 0600, and their folder with 0700. A file that other users can access, a folder that they
/// can write and a folder of another user are rejected. A link to the file is followed, and stays. The values are sealed by a
/// [`SealedStore`](portcullis_store::SealedStore) around this store, with a key [in a file](Self::keys_in_file) or in the keyring.
///
/// A file that is damaged, of another program or of a later version is an error that names the file, and is left as it is. If the file is
/// deleted while the store has it open, or replaced by another one or by an earlier copy, every operation fails with
/// [`Replaced`](portcullis_store::StoreErrorKind::Replaced).
///
/// Writes of one store are done in the order in which they began to wait, on threads of the runtime for blocking work. A write
/// whose future is dropped is either done or not, and every later write to the store comes after it. Events of the feed reach other
/// processes within a quarter of a second; the last 1,024 are kept.
#[derive(Clone)]
pub struct FileStore {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) disk: Disk,
    config: FileConfig,
    /// The id of the file that was opened.
    id: String,
    /// The highest sequence number that was read or written.
    seen: AtomicU64,
    is_closed: AtomicBool,
    /// The turn of one writer: at most one thread waits for other processes.
    turn: Arc<Mutex<()>>,
}

/// How many events are kept.
const MAX_EVENTS: usize = 1024;

/// How often a waiting reader looks for events.
const POLL_EVERY: Duration = Duration::from_millis(200);

impl FileStore {
    /// Opens the file, or creates it and its folder.
    ///
    /// # Errors
    /// [`FileStoreError`]: above all, if the file cannot be written, is damaged, is not a file of this program, or is of a later
    /// version of this program. Such a file is left as it is.
    pub async fn open(config: impl Into<FileConfig>) -> Result<Self, FileStoreError> {
        let config = config.into();
        let path = config.path.clone();
        let opened = spawn_blocking(move || open(config)).await;
        opened.unwrap_or_else(|error| {
            if error.is_panic() {
                panic::resume_unwind(error.into_panic())
            } else {
                Err(FileStoreError::Ended { path })
            }
        })
    }

    /// Reads the table.
    async fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Table, UnixTime) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let outcome = self.blocking(move || {
            let content = shared.content()?;
            Ok(read(&content.table, shared.config.clock.now()))
        });
        outcome.await.map_err(|error| failed(doing, error))
    }

    /// Changes the table, under the lock, when it is the turn of the caller.
    async fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        write: impl FnOnce(&mut Table, UnixTime) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (shared, turn) = (Arc::clone(&self.shared), Arc::clone(&self.shared.turn).lock_owned().await);
        let outcome = self.blocking(move || {
            let outcome = shared.write(write);
            drop(turn);
            outcome
        });
        outcome.await.map_err(|error| failed(doing, error))
    }

    /// Runs `work` on a thread for blocking work, to its end, even if the future is dropped.
    pub(crate) async fn blocking<T: Send + 'static, E: From<FileStoreError> + Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let ended = || Err(FileStoreError::Ended { path: self.shared.disk.path().to_owned() }.into());
        let done = spawn_blocking(work).await;
        done.unwrap_or_else(|error| if error.is_panic() { panic::resume_unwind(error.into_panic()) } else { ended() })
    }
}

fn open(config: FileConfig) -> Result<FileStore, FileStoreError> {
    let disk = Disk::at(&config.path)?;
    let lock = disk.lock(config.lock_timeout)?;
    disk.check(&lock)?;
    let content = match disk.read()? {
        Some(bytes) => Content::decode(&bytes, disk.path())?,
        None => {
            let content = Content::new();
            disk.replace(&content.encode(&content.body()), &lock)?;
            content
        }
    };
    drop(lock);
    let Content { id, sequence, .. } = content;
    let (seen, is_closed) = (AtomicU64::new(sequence), AtomicBool::new(false));
    Ok(FileStore { shared: Arc::new(Shared { disk, config, id, seen, is_closed, turn: Arc::default() }) })
}

impl Shared {
    /// Reads the file, and checks that it is the one that was opened, in no earlier state than was seen before.
    pub(crate) fn content(&self) -> Result<Content, FileStoreError> {
        let path = self.disk.path();
        if self.is_closed.load(Ordering::Acquire) {
            return Err(FileStoreError::Closed { path: path.to_owned() });
        }
        // Before the file is read: another reader may see a later state meanwhile.
        let seen = self.seen.load(Ordering::Acquire);
        let replaced = || FileStoreError::Replaced { path: path.to_owned() };
        let content = Content::decode(&self.disk.read()?.ok_or_else(replaced)?, path)?;
        if content.id != self.id || content.sequence < seen {
            return Err(replaced());
        }
        self.seen.fetch_max(content.sequence, Ordering::AcqRel);
        Ok(content)
    }

    fn write<T>(&self, write: impl FnOnce(&mut Table, UnixTime) -> T) -> Result<T, FileStoreError> {
        let lock = self.disk.lock(self.config.lock_timeout)?;
        let mut content = self.content()?;
        let before = content.body();
        let outcome = write(&mut content.table, self.config.clock.now());
        let after = content.body();
        if after != before {
            content.sequence += 1;
            self.disk.replace(&content.encode(&after), &lock)?;
            self.seen.fetch_max(content.sequence, Ordering::AcqRel);
        }
        Ok(outcome)
    }
}

/// Converts an error into the one that callers of the store get.
fn failed(doing: &'static str, error: FileStoreError) -> StoreError {
    StoreError::new(doing).with_kind(error.kind()).with_source(error)
}

impl Store for FileStore {
    fn load(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRow>> {
        Box::pin(self.read("reading a record", move |table, now| table.load(key, now).cloned()))
    }

    fn load_even_expired(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRow>> {
        Box::pin(self.read("reading a record", move |table, _| table.load_even_expired(key).cloned()))
    }

    fn compare_and_swap(
        &self,
        key: RecordKey,
        expected: Expected,
        new: Row,
        lease: Option<Lease>,
    ) -> StoreFuture<'_, Swap> {
        let swap = move |table: &mut Table, now| table.compare_and_swap(key, expected, new, lease, now);
        Box::pin(self.write("writing a record", swap))
    }

    fn compare_and_remove(&self, key: RecordKey, expected: Version) -> StoreFuture<'_, bool> {
        Box::pin(self.write("removing a record", move |table, _| table.compare_and_remove(key, expected)))
    }

    fn lease(&self, key: RecordKey, ttl: Duration) -> StoreFuture<'_, LeaseOutcome> {
        Box::pin(self.write("acquiring a lease", move |table, now| table.lease(key, ttl, now)))
    }

    fn renew(&self, key: RecordKey, lease: Lease, ttl: Duration) -> StoreFuture<'_, bool> {
        Box::pin(self.write("renewing a lease", move |table, now| table.renew(key, lease, now + ttl)))
    }

    fn release(&self, key: RecordKey, lease: Lease) -> StoreFuture<'_, ()> {
        Box::pin(self.write("releasing a lease", move |table, _| table.release(key, lease)))
    }

    fn expired(
        &self,
        collection: Collection,
        confirmed: UnixTime,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        let expired = move |table: &Table, now: UnixTime| table.expired(collection, now.min(confirmed), limit);
        Box::pin(self.read("reading records that have expired", expired))
    }

    fn next_to_expire(&self, collection: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        let next = move |table: &Table, now| table.next_to_expire(collection, now, limit);
        Box::pin(self.read("reading records that will expire", next))
    }

    fn sweep(&self, collection: Collection, confirmed: UnixTime) -> StoreFuture<'_, u64> {
        let sweep = move |table: &mut Table, now: UnixTime| table.sweep(collection, now.min(confirmed));
        Box::pin(self.write("sweeping records", sweep))
    }

    fn count(&self, collection: Collection) -> StoreFuture<'_, u64> {
        Box::pin(self.read("counting records", move |table, _| table.count(collection)))
    }

    fn page(
        &self,
        collection: Collection,
        after: Option<RecordKey>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        Box::pin(self.read("reading records", move |table, now| table.page(collection, after, now, limit)))
    }

    fn append_event(&self, event: Bytes) -> StoreFuture<'_, Position> {
        Box::pin(self.write("appending an event", move |table, _| table.append_event(event, MAX_EVENTS)))
    }

    fn events_after(&self, after: Position, limit: usize) -> StoreFuture<'_, Events> {
        Box::pin(self.read("reading events", move |table, _| table.events_after(after, limit)))
    }

    fn last_position(&self) -> StoreFuture<'_, Position> {
        Box::pin(self.read("reading events", |table, _| table.last_position()))
    }

    fn wait_for_events(&self, after: Position) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            while self.last_position().await? == after {
                sleep(POLL_EVERY).await;
            }
            Ok(())
        })
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            // What is being written is done first.
            let turn = self.shared.turn.lock().await;
            self.shared.is_closed.store(true, Ordering::Release);
            drop(turn);
            Ok(())
        })
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("path", &self.shared.disk.path()).finish_non_exhaustive()
    }
}
