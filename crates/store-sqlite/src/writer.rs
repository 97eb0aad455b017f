//! [`Writer`]: concurrent writes are committed together.

use std::{
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use portcullis_core::{Clock, UnixTime};
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    SqliteError,
    connection::{Connection, ConnectionGuard},
};

/// Future of a write in an open transaction.
pub(crate) type Writing<'a, T> = Pin<Box<dyn Future<Output = Result<T, SqliteError>> + Send + 'a>>;

/// Does all writing, on a task of its own that ends with the writer.
///
/// A commit takes as long as the disk does, however much is committed. So writes that arrive during a commit wait, and are committed
/// together. Their callers are answered when the commit is done.
pub(crate) struct Writer {
    path: PathBuf,
    connection: Arc<Connection>,
    /// `None` once the writer is stopped.
    queue: Mutex<Option<mpsc::Sender<Box<dyn Write>>>>,
    task: AsyncMutex<Option<JoinHandle<()>>>,
}

/// How many writes are committed together, at most. Another process that wants the lock waits for them.
const MAX_BATCH: usize = 256;

/// How long the writer writes without a pause.
const WRITE_FOR: Duration = Duration::from_millis(10);

/// How long the writer then leaves the lock to others: another process polls for it, and would hardly ever find it free.
const PAUSE: Duration = Duration::from_millis(1);

/// A write that waits in the queue.
trait Write: Send {
    /// Does the write, unless its caller has gone away: a lease must not be acquired for a caller that does not hear of it. It may have to be
    /// done again, from the start.
    fn run<'a>(&'a mut self, guard: &'a mut ConnectionGuard<'_>, now: UnixTime) -> Writing<'a, ()>;

    /// Sends the caller the result.
    fn answer(self: Box<Self>, committed: Result<(), Arc<SqliteError>>);
}

struct Waiting<W, T> {
    work: W,
    done: Option<T>,
    caller: oneshot::Sender<Result<T, Arc<SqliteError>>>,
}

impl Writer {
    /// Starts a writer on `connection`, in the current runtime.
    pub(crate) fn start(connection: Connection, path: PathBuf, clock: Arc<dyn Clock>) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_BATCH);
        let connection = Arc::new(connection);
        let task = tokio::spawn(serve(Arc::clone(&connection), clock, waiting));
        Self { path, connection, queue: Mutex::new(Some(queue)), task: AsyncMutex::new(Some(task)) }
    }

    /// Does `work` when its turn has come, at the time it is then. It is done as a whole, whatever the result of the other writes.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl for<'a> Fn(&'a mut ConnectionGuard<'_>, UnixTime) -> Writing<'a, T> + Send + 'static,
    ) -> Result<T, Arc<SqliteError>> {
        let (caller, answer) = oneshot::channel();
        let write = Waiting { work, done: None, caller };
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(queue) = queue else { return Err(Arc::new(SqliteError::Closed { path: self.path.clone() })) };
        if queue.send(Box::new(write)).await.is_ok()
            && let Ok(answer) = answer.await
        {
            return answer;
        }
        Err(Arc::new(SqliteError::Ended { path: self.path.clone() }))
    }

    /// Waits for the writes that have begun. Later ones fail.
    pub(crate) async fn stop(&self) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(queue);
        if let Some(task) = self.task.lock().await.take() {
            // A task whose runtime has ended writes nothing any more.
            let _ = task.await;
        }
    }

    /// Merges the write-ahead log into the file, and closes the connection. Another process that reads keeps the log.
    pub(crate) async fn close(&self) -> Result<(), SqliteError> {
        let mut guard = match self.connection.take().await {
            Err(SqliteError::Closed { .. }) => return Ok(()),
            taken => taken?,
        };
        guard.rows::<(i64, i64, i64)>(sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")).await?;
        guard.release();
        self.connection.close().await
    }
}

async fn serve(connection: Arc<Connection>, clock: Arc<dyn Clock>, mut queue: mpsc::Receiver<Box<dyn Write>>) {
    let mut writes = Vec::with_capacity(MAX_BATCH);
    let mut paused_at = Instant::now();
    while queue.recv_many(&mut writes, MAX_BATCH).await > 0 {
        let committed = commit(&connection, &*clock, &mut writes).await.map_err(Arc::new);
        writes.drain(..).for_each(|write| write.answer(committed.clone()));
        if !queue.is_empty() && paused_at.elapsed() >= WRITE_FOR {
            sleep(PAUSE).await;
            paused_at = Instant::now();
        }
    }
}

/// Commits all writes that succeed. A write that fails is answered, and the others are done again without it.
async fn commit(
    connection: &Connection,
    clock: &dyn Clock,
    writes: &mut Vec<Box<dyn Write>>,
) -> Result<(), SqliteError> {
    loop {
        let mut guard = connection.begin().await?;
        // The time is read only now: the wait for the lock may have been long.
        let Err((failed, error)) = run(&mut guard, clock.now(), writes).await else { return guard.commit().await };
        // SQLite may have done so on its own, as it does when the disk is full. Then this fails, and the connection is closed.
        let _ = guard.roll_back().await;
        writes.remove(failed).answer(Err(Arc::new(error)));
    }
}

/// Runs all writes, or returns the number of the one that fails.
async fn run(
    guard: &mut ConnectionGuard<'_>,
    now: UnixTime,
    writes: &mut [Box<dyn Write>],
) -> Result<(), (usize, SqliteError)> {
    for (number, write) in writes.iter_mut().enumerate() {
        write.run(guard, now).await.map_err(|error| (number, error))?;
    }
    Ok(())
}

impl<W, T> Write for Waiting<W, T>
where
    W: for<'a> Fn(&'a mut ConnectionGuard<'_>, UnixTime) -> Writing<'a, T> + Send,
    T: Send,
{
    fn run<'a>(&'a mut self, guard: &'a mut ConnectionGuard<'_>, now: UnixTime) -> Writing<'a, ()> {
        Box::pin(async move {
            if !self.caller.is_closed() {
                self.done = Some((self.work)(guard, now).await?);
            }
            Ok(())
        })
    }

    fn answer(self: Box<Self>, committed: Result<(), Arc<SqliteError>>) {
        let Self { done, caller, .. } = *self;
        // A write that was not done has no caller that waits for it.
        if let Some(answer) = committed.map(|()| done).transpose() {
            let _ = caller.send(answer);
        }
    }
}
