//! [`SqliteStore`]: the store in a file.

use std::{
    borrow::Borrow,
    error::Error,
    fmt, path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use portcullis_core::{Clock, UnixTime};
use portcullis_store::{
    Collection, Events, Expected, Lease, LeaseOutcome, Position, RecordKey, Row, Store, StoreError, StoreFuture,
    StoredRow, Swap, Version,
};

use crate::{
    SqliteConfig, SqliteError,
    connection::{Connection, OpenedFile},
    events, file, rows,
    writer::Writer,
};

/// A store in a file, which any number of processes of one machine may have open. Clones are the same store.
///
/// A write that was reported is on the disk. The file, and the files that SQLite keeps beside it (`-wal`, `-shm`), are accessible to
/// their owner only: they are created with mode 0600, and the access of other users to existing files is removed. A backup of a file
/// in use has to include `-wal`; after the last process has [closed](Store::close) its store, the file alone is whole. Not for network
/// file systems: SQLite's locks do not work there.
///
/// If the file is replaced or deleted while the store has it open, every operation fails with
/// [`Replaced`](portcullis_store::StoreErrorKind::Replaced), so that nothing is written to a file that has no name any more.
///
/// Writes that wait for the disk at the same time are committed together, on a task of the runtime in which the store was opened,
/// which ends with the last clone. They wait for their turn without a time limit; a caller with a limit drops the future. A
/// write whose future is dropped is either done or not, and every later write to the store comes after it. A write that waits for
/// the lock of another process for longer than the [busy timeout](SqliteConfig::with_busy_timeout) fails; a later write may succeed.
///
/// Events of the feed reach other processes within a quarter of a second: a process that waits for them polls.
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

struct Shared {
    config: SqliteConfig,
    writer: Writer,
    readers: [Connection; READERS],
    turn: AtomicUsize,
}

/// How many connections read. A reader that waits for the disk does not block the others.
const READERS: usize = 4;

impl SqliteStore {
    /// Opens the database, or creates it, and migrates its schema to the version of this program.
    ///
    /// # Errors
    /// [`SqliteError`]: above all, if the file cannot be written, is not a database of this program, or is of a later
    /// version of this program. Such a file is left as it is.
    pub async fn open(config: impl Into<SqliteConfig>) -> Result<Self, SqliteError> {
        let mut config = config.into();
        config.path = path::absolute(&config.path).map_err(|error| SqliteError::File {
            path: config.path.clone(),
            doing: "finding it",
            source: error,
        })?;
        file::create(&config.path)?;
        let opened = Arc::new(OpenedFile::at(&config.path)?);
        let plain = Connection::plain(&config, Arc::clone(&opened));
        file::check(&plain, &config.path).await?;
        file::close_to_others(&config.path)?;
        file::migrate(&plain, &config.path).await?;
        plain.close().await?;
        let writer = Connection::write_ahead(&config, Arc::clone(&opened));
        writer.take().await?.release();
        let readers = std::array::from_fn(|_| Connection::write_ahead(&config, Arc::clone(&opened)));
        let writer = Writer::start(writer, config.path.clone(), Arc::clone(&config.clock));
        Ok(Self { shared: Arc::new(Shared { config, writer, readers, turn: AtomicUsize::new(0) }) })
    }

    fn writer(&self) -> &Writer {
        &self.shared.writer
    }

    fn reader(&self) -> &Connection {
        let turn = self.shared.turn.fetch_add(1, Ordering::Relaxed);
        &self.shared.readers[turn % READERS]
    }

    fn clock(&self) -> &dyn Clock {
        &*self.shared.config.clock
    }
}

/// Converts an error into the one that callers of the store get.
fn failed<E>(doing: &'static str) -> impl FnOnce(E) -> StoreError
where
    E: Borrow<SqliteError> + Into<Box<dyn Error + Send + Sync>>,
{
    move |error| StoreError::new(doing).with_kind(error.borrow().kind()).with_source(error)
}

impl Store for SqliteStore {
    fn load(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRow>> {
        Box::pin(async move {
            let now = self.clock().now();
            rows::load(self.reader(), key, Some(now)).await.map_err(failed("reading a record"))
        })
    }

    fn load_even_expired(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRow>> {
        Box::pin(async move { rows::load(self.reader(), key, None).await.map_err(failed("reading a record")) })
    }

    fn compare_and_swap(
        &self,
        key: RecordKey,
        expected: Expected,
        new: Row,
        lease: Option<Lease>,
    ) -> StoreFuture<'_, Swap> {
        Box::pin(async move {
            let swapped = self
                .writer()
                .write(move |guard, now| Box::pin(rows::swap(guard, key, expected, new.clone(), lease, now)));
            swapped.await.map_err(failed("writing a record"))
        })
    }

    fn compare_and_remove(&self, key: RecordKey, expected: Version) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let removed = self.writer().write(move |guard, _| Box::pin(rows::remove(guard, key, expected)));
            removed.await.map_err(failed("removing a record"))
        })
    }

    fn lease(&self, key: RecordKey, ttl: Duration) -> StoreFuture<'_, LeaseOutcome> {
        Box::pin(async move {
            let acquired = self.writer().write(move |guard, now| Box::pin(rows::acquire_lease(guard, key, ttl, now)));
            acquired.await.map_err(failed("acquiring a lease"))
        })
    }

    fn renew(&self, key: RecordKey, lease: Lease, ttl: Duration) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let renewed =
                self.writer().write(move |guard, now| Box::pin(rows::renew_lease(guard, key, lease, now + ttl)));
            renewed.await.map_err(failed("renewing a lease"))
        })
    }

    fn release(&self, key: RecordKey, lease: Lease) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let released = self.writer().write(move |guard, _| Box::pin(rows::release_lease(guard, key, lease)));
            released.await.map_err(failed("releasing a lease"))
        })
    }

    fn expired(
        &self,
        collection: Collection,
        confirmed: UnixTime,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        Box::pin(async move {
            let expired = rows::expired(self.reader(), collection, limit, self.clock().now().min(confirmed)).await;
            expired.map_err(failed("reading records that have expired"))
        })
    }

    fn next_to_expire(&self, collection: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        Box::pin(async move {
            let next = rows::next_to_expire(self.reader(), collection, limit, self.clock().now()).await;
            next.map_err(failed("reading records that will expire"))
        })
    }

    fn sweep(&self, collection: Collection, confirmed: UnixTime) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let mut swept = 0;
            loop {
                let some =
                    self.writer().write(move |guard, now| Box::pin(rows::sweep(guard, collection, now.min(confirmed))));
                match some.await.map_err(failed("sweeping records"))? {
                    0 => return Ok(swept),
                    some => swept += some,
                }
            }
        })
    }

    fn count(&self, collection: Collection) -> StoreFuture<'_, u64> {
        Box::pin(async move { rows::count(self.reader(), collection).await.map_err(failed("counting records")) })
    }

    fn page(
        &self,
        collection: Collection,
        after: Option<RecordKey>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        Box::pin(async move {
            let page = rows::page(self.reader(), collection, after, limit, self.clock().now()).await;
            page.map_err(failed("reading records"))
        })
    }

    fn append_event(&self, event: Bytes) -> StoreFuture<'_, Position> {
        Box::pin(async move {
            let appended = self.writer().write(move |guard, _| {
                let event = event.clone();
                Box::pin(async move { events::append(guard, &event).await })
            });
            appended.await.map_err(failed("appending an event"))
        })
    }

    fn events_after(&self, after: Position, limit: usize) -> StoreFuture<'_, Events> {
        Box::pin(async move { events::read(self.reader(), after, limit).await.map_err(failed("reading events")) })
    }

    fn last_position(&self) -> StoreFuture<'_, Position> {
        Box::pin(async move { events::last_position(self.reader()).await.map_err(failed("reading events")) })
    }

    fn wait_for_events(&self, after: Position) -> StoreFuture<'_, ()> {
        Box::pin(async move { events::wait(self.reader(), after).await.map_err(failed("reading events")) })
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.writer().stop().await;
            for reader in &self.shared.readers {
                reader.close().await.map_err(failed("closing a connection"))?;
            }
            self.writer().close().await.map_err(failed("closing the database"))
        })
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.shared.config.path).finish_non_exhaustive()
    }
}
