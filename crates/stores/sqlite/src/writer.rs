//! [`Writer`]: what many callers write is committed together.

use std::{future::Future, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use portcullis_core::{Clock, UnixTime};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

use crate::{
    SqliteError,
    connection::{Slot, Taken},
};

/// A write on its way, in a transaction that is open.
pub(crate) type Writing<'a, T> = Pin<Box<dyn Future<Output = Result<T, SqliteError>> + Send + 'a>>;

/// All writing, on a task of its own that ends with the writer.
///
/// The disk takes its time for a commit, however much is committed. So those who come while it is at work wait, and are
/// committed together. They are answered when that is done.
pub(crate) struct Writer {
    path: PathBuf,
    queue: mpsc::Sender<Box<dyn Write>>,
}

/// So many are committed together. Whoever else wants the lock waits until they are.
const TOGETHER: usize = 256;

/// So long it writes without a rest.
const STINT: Duration = Duration::from_millis(10);

/// So long it leaves the lock alone then: another process looks for it now and then, and would hardly ever find it free.
const REST: Duration = Duration::from_millis(1);

/// A write that waits for its turn.
trait Write: Send {
    /// Does it, unless its caller has gone away: whoever has a lease must know. It may have to be done again, from the start.
    fn run<'a>(&'a mut self, taken: &'a mut Taken<'_>, now: UnixTime) -> Writing<'a, ()>;

    /// Tells the caller what has become of it.
    fn answer(self: Box<Self>, committed: Result<(), Arc<SqliteError>>);
}

struct Waiting<W, T> {
    work: W,
    done: Option<T>,
    caller: oneshot::Sender<Result<T, Arc<SqliteError>>>,
}

impl Writer {
    /// Writes on the connection of `slot`, in the present runtime.
    pub(crate) fn start(slot: Slot, path: PathBuf, clock: Arc<dyn Clock>) -> Self {
        let (queue, waiting) = mpsc::channel(TOGETHER);
        tokio::spawn(serve(slot, clock, waiting));
        Self { path, queue }
    }

    /// Does `work` when its turn has come, at the time it is then. It is done as a whole, whatever becomes of others.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl for<'a> Fn(&'a mut Taken<'_>, UnixTime) -> Writing<'a, T> + Send + 'static,
    ) -> Result<T, Arc<SqliteError>> {
        let (caller, answer) = oneshot::channel();
        let write = Waiting { work, done: None, caller };
        if self.queue.send(Box::new(write)).await.is_ok()
            && let Ok(answer) = answer.await
        {
            return answer;
        }
        Err(Arc::new(SqliteError::Ended { path: self.path.clone() }))
    }
}

async fn serve(slot: Slot, clock: Arc<dyn Clock>, mut queue: mpsc::Receiver<Box<dyn Write>>) {
    let mut writes = Vec::with_capacity(TOGETHER);
    let mut rested = Instant::now();
    while queue.recv_many(&mut writes, TOGETHER).await > 0 {
        let committed = commit(&slot, &*clock, &mut writes).await.map_err(Arc::new);
        writes.drain(..).for_each(|write| write.answer(committed.clone()));
        if !queue.is_empty() && rested.elapsed() >= STINT {
            sleep(REST).await;
            rested = Instant::now();
        }
    }
}

/// Commits all that can be done, and answers those that cannot: the others are done again without them.
async fn commit(slot: &Slot, clock: &dyn Clock, writes: &mut Vec<Box<dyn Write>>) -> Result<(), SqliteError> {
    loop {
        let mut taken = slot.begin().await?;
        // Only now: the lock may have been long in coming.
        let Err((failed, error)) = run(&mut taken, clock.now(), writes).await else { return taken.commit().await };
        // SQLite may have done so on its own, as it does when the disk is full. Then this fails, and the connection is closed.
        let _ = taken.roll_back().await;
        writes.remove(failed).answer(Err(Arc::new(error)));
    }
}

/// Runs them all, or says which one fails.
async fn run(taken: &mut Taken<'_>, now: UnixTime, writes: &mut [Box<dyn Write>]) -> Result<(), (usize, SqliteError)> {
    for (number, write) in writes.iter_mut().enumerate() {
        write.run(taken, now).await.map_err(|error| (number, error))?;
    }
    Ok(())
}

impl<W, T> Write for Waiting<W, T>
where
    W: for<'a> Fn(&'a mut Taken<'_>, UnixTime) -> Writing<'a, T> + Send,
    T: Send,
{
    fn run<'a>(&'a mut self, taken: &'a mut Taken<'_>, now: UnixTime) -> Writing<'a, ()> {
        Box::pin(async move {
            if !self.caller.is_closed() {
                self.done = Some((self.work)(taken, now).await?);
            }
            Ok(())
        })
    }

    fn answer(self: Box<Self>, committed: Result<(), Arc<SqliteError>>) {
        let Self { done, caller, .. } = *self;
        // What was not done has nobody who waits for it.
        if let Some(answer) = committed.map(|()| done).transpose() {
            let _ = caller.send(answer);
        }
    }
}
