//! [`SqliteStore`]: the file, and its grants.

use std::{
    error::Error,
    fmt, path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use portcullis_core::{Clock, GrantId};
use portcullis_grants::{
    Lease, LeaseOutcome, SealedGrant, StoreError, StoreFuture, StoredRow, Swap, TokenStore, Version,
};

use crate::{SqliteConfig, SqliteError, connection::Slot, file, grants, leases, schema, writer::Writer};

/// A store in a file, which any number of processes of one machine may have open. Clones are the same store.
///
/// What it says is written is on the disk. Its file, and those that SQLite keeps beside it (`-wal`, `-shm`), are for their
/// owner alone: they are created with mode 0600, and one that is there is closed to others. Whoever copies the file while it is
/// in use copies `-wal` with it. Not for network file systems: SQLite's locks do not work there.
///
/// Writes that wait for the disk at the same time are committed together, on a task of the runtime in which the store was opened,
/// which ends with the last clone. They wait for their turn for as long as it takes; whoever has no time drops the future. A
/// write whose future is dropped on the way is either done or not, and whatever is done with the store afterwards, other than
/// reading, comes after it. A write fails that waits for somebody else's lock for longer than the
/// [patience](SqliteConfig::with_patience); one that comes later may well succeed.
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

struct Shared {
    config: SqliteConfig,
    clock: Arc<dyn Clock>,
    writer: Writer,
    readers: [Slot; READERS],
    turn: AtomicUsize,
}

/// Reading is quick; one that waits for the disk does not hold up the others.
const READERS: usize = 4;

impl SqliteStore {
    /// Opens the database, or creates it, and brings its schema to the version of this program.
    ///
    /// Leases are timed by `clock`, and all processes that share the file go by it: it must be the machine's.
    ///
    /// # Errors
    /// [`SqliteError`]: above all, if the file cannot be written, is not a database of this program, or is one of a later
    /// version, which is left as it is.
    pub async fn open(config: impl Into<SqliteConfig>, clock: Arc<dyn Clock>) -> Result<Self, SqliteError> {
        let mut config = config.into();
        config.path = path::absolute(&config.path).map_err(|error| SqliteError::File {
            path: config.path.clone(),
            doing: "finding it",
            source: error,
        })?;
        file::create(&config.path)?;
        let plain = Slot::plain(&config);
        schema::check(&plain, &config.path).await?;
        file::close_to_others(&config.path)?;
        schema::migrate(&plain, &config.path).await?;
        let writer = Slot::write_ahead(&config);
        writer.take().await?.give_back();
        let readers = std::array::from_fn(|_| Slot::write_ahead(&config));
        let writer = Writer::start(writer, config.path.clone(), Arc::clone(&clock));
        Ok(Self { shared: Arc::new(Shared { config, clock, writer, readers, turn: AtomicUsize::new(0) }) })
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.shared.writer
    }

    pub(crate) fn reader(&self) -> &Slot {
        let turn = self.shared.turn.fetch_add(1, Ordering::Relaxed);
        &self.shared.readers[turn % READERS]
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.shared.clock
    }
}

/// Why something could not be done, for those who call the store.
pub(crate) fn failed<E: Into<Box<dyn Error + Send + Sync>>>(doing: &'static str) -> impl FnOnce(E) -> StoreError {
    move |error| StoreError::new(doing).with_source(error)
}

impl TokenStore for SqliteStore {
    fn load(&self, id: GrantId) -> StoreFuture<'_, Option<StoredRow>> {
        Box::pin(
            async move { grants::load(self.reader(), id, self.clock().now()).await.map_err(failed("reading a grant")) },
        )
    }

    fn compare_and_swap(
        &self,
        id: GrantId,
        expected: Option<Version>,
        new: SealedGrant,
        lease: Option<Lease>,
    ) -> StoreFuture<'_, Swap> {
        Box::pin(async move {
            let swapped = self
                .writer()
                .write(move |taken, now| Box::pin(grants::swap(taken, id, expected, new.clone(), lease, now)));
            swapped.await.map_err(failed("writing a grant"))
        })
    }

    fn compare_and_remove(&self, id: GrantId, expected: Version) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let removed = self.writer().write(move |taken, _| Box::pin(grants::remove(taken, id, expected)));
            removed.await.map_err(failed("removing a grant"))
        })
    }

    fn lease(&self, id: GrantId, ttl: Duration) -> StoreFuture<'_, LeaseOutcome> {
        Box::pin(async move {
            let acquired = self.writer().write(move |taken, now| Box::pin(leases::acquire(taken, id, ttl, now)));
            acquired.await.map_err(failed("leasing a grant"))
        })
    }

    fn renew(&self, id: GrantId, lease: Lease, ttl: Duration) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let renewed = self.writer().write(move |taken, now| Box::pin(leases::renew(taken, id, lease, now + ttl)));
            renewed.await.map_err(failed("renewing a lease"))
        })
    }

    fn release(&self, id: GrantId, lease: Lease) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let released = self.writer().write(move |taken, _| Box::pin(leases::release(taken, id, lease)));
            released.await.map_err(failed("giving back a lease"))
        })
    }

    fn sweep(&self) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let mut swept = 0;
            loop {
                let some = self.writer().write(|taken, now| Box::pin(grants::sweep(taken, now)));
                match some.await.map_err(failed("sweeping grants"))? {
                    0 => return Ok(swept),
                    some => swept += some,
                }
            }
        })
    }

    fn page(&self, after: Option<GrantId>, limit: usize) -> StoreFuture<'_, Vec<(GrantId, StoredRow)>> {
        Box::pin(async move {
            let page = grants::page(self.reader(), after, limit, self.clock().now()).await;
            page.map_err(failed("reading grants"))
        })
    }

    fn is_durable(&self) -> bool {
        true
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.shared.config.path).finish_non_exhaustive()
    }
}
