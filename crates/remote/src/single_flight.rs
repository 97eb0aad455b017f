//! [`SharedTask`]: a spawned task whose outcome is shared by its waiters; and [`SingleFlight`]: at most one of them per key.

use std::{
    collections::{HashMap, hash_map::RandomState},
    fmt,
    future::Future,
    hash::{BuildHasher, Hash},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use futures_util::{FutureExt as _, future::Shared};
use tokio::task::{AbortHandle, JoinError, JoinHandle};

/// A spawned task whose outcome is shared by all callers that wait for it. Each clone is a future of the outcome.
///
/// 1. Dropping a waiter, or all of them, does **not** cancel the task.
/// 2. If the task panics or its runtime stops, each waiter gets the outcome that `failed` makes of the [`JoinError`].
/// 3. A task that [is finished](Self::is_finished) must not be joined any more: a caller that finds one in its state replaces it. Code that
///    runs on the task has then run to its end, so a task may remove itself from that state before it is finished.
///
/// To keep one of them per key, use a [`SingleFlight`](crate::SingleFlight).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use portcullis_remote::SharedTask;
///
/// let task = SharedTask::spawn(async { Ok(42) }, |_| Err("the task failed"));
/// assert_eq!(task.clone().await, Ok(42));
/// assert_eq!(task.await, Ok(42));
///
/// let panics = SharedTask::spawn(async { panic!("on purpose") }, |_| Err::<u8, _>("the task failed"));
/// assert_eq!(panics.await, Err("the task failed"));
/// # }
/// ```
#[must_use = "a task that nothing waits for should be dropped explicitly"]
pub struct SharedTask<T> {
    outcome: Shared<Outcome<T>>,
    task: AbortHandle,
}

impl<T: Clone + Send + Sync + 'static> SharedTask<T> {
    /// Spawns `task` on the current runtime; `failed` makes an outcome of a panic and of the end of the runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn(task: impl Future<Output = T> + Send + 'static, failed: fn(JoinError) -> T) -> Self {
        Self::new(tokio::spawn(task), failed)
    }

    /// Shares the outcome of `task`, which has been spawned: on a given runtime, or by a tracker.
    pub fn new(task: JoinHandle<T>, failed: fn(JoinError) -> T) -> Self {
        Self { task: task.abort_handle(), outcome: Outcome { task, failed }.shared() }
    }

    /// Reports whether the task has ended: by its outcome, by a panic, or with its runtime.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

impl<T> Clone for SharedTask<T> {
    fn clone(&self) -> Self {
        Self { outcome: self.outcome.clone(), task: self.task.clone() }
    }
}

impl<T: Clone> Future for SharedTask<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.outcome.poll_unpin(cx)
    }
}

impl<T> fmt::Debug for SharedTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTask").field("is_finished", &self.task.is_finished()).finish_non_exhaustive()
    }
}

/// The outcome of a task, which always has one.
struct Outcome<T> {
    task: JoinHandle<T>,
    failed: fn(JoinError) -> T,
}

impl<T> Future for Outcome<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let joined = ready!(self.task.poll_unpin(cx));
        Poll::Ready(joined.unwrap_or_else(self.failed))
    }
}

/// At most one running task per key: callers that ask for the same key at the same time share its outcome. Clones share the tasks.
///
/// 1. Each task is detached: a caller that goes away neither cancels nor repeats it.
/// 2. A task is removed when it ends, in whatever way, so that the next caller starts another one. No outcome is kept.
/// 3. Tasks of different keys do not wait for each other. No lock is held while a task runs.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use portcullis_remote::SingleFlight;
///
/// let tasks: SingleFlight<&str, Result<u8, &str>> = SingleFlight::new(|_| Err("the task failed"));
/// let first = tasks.join("key", || async { Ok(1) });
/// let second = tasks.join("key", || async { Ok(2) });
/// assert_eq!((first.await, second.await), (Ok(1), Ok(1)));
/// assert_eq!(tasks.join("key", || async { Ok(3) }).await, Ok(3));
/// # }
/// ```
pub struct SingleFlight<K, T, S = RandomState> {
    running: Arc<Running<K, T, S>>,
    failed: fn(JoinError) -> T,
}

type Running<K, T, S> = Mutex<HashMap<K, SharedTask<T>, S>>;

impl<K, T, S> SingleFlight<K, T, S>
where
    K: Eq + Hash + Clone + Send + 'static,
    T: Clone + Send + Sync + 'static,
    S: BuildHasher + Default + Send + 'static,
{
    /// Creates one without tasks; `failed` makes an outcome of a task that panics and of one whose runtime stops.
    #[must_use]
    pub fn new(failed: fn(JoinError) -> T) -> Self {
        Self { running: Arc::default(), failed }
    }

    /// Returns the running task of `key`, or else spawns the one that `start` makes.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn join<F>(&self, key: K, start: impl FnOnce() -> F) -> SharedTask<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut running = lock(&self.running);
        // A task that is finished has removed itself, unless its runtime stopped before its first poll.
        if let Some(task) = running.get(&key).filter(|task| !task.is_finished()) {
            return task.clone();
        }
        let (work, guarded) = (start(), (Arc::clone(&self.running), key.clone()));
        let work = async move {
            // Created by the first poll: a task that is never polled, because its runtime stops, is dropped while the lock is held here.
            let (running, key) = guarded;
            let _guard = RemoveOnDrop { running, key };
            work.await
        };
        let task = SharedTask::spawn(work, self.failed);
        running.insert(key, task.clone());
        task
    }

    /// Returns the number of running tasks.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.running).len()
    }

    /// Reports whether no task is running.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K, T, S> Clone for SingleFlight<K, T, S> {
    fn clone(&self) -> Self {
        Self { running: Arc::clone(&self.running), failed: self.failed }
    }
}

impl<K, T, S> fmt::Debug for SingleFlight<K, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").field("running", &lock(&self.running).len()).finish_non_exhaustive()
    }
}

/// Removes a task when it ends, in whatever way.
struct RemoveOnDrop<K: Eq + Hash, T, S: BuildHasher> {
    running: Arc<Running<K, T, S>>,
    key: K,
}

impl<K: Eq + Hash, T, S: BuildHasher> Drop for RemoveOnDrop<K, T, S> {
    fn drop(&mut self) {
        // The removed task is dropped after the lock is released: it may own an outcome.
        let removed = lock(&self.running).remove(&self.key);
        drop(removed);
    }
}

fn lock<K, T, S>(running: &Running<K, T, S>) -> MutexGuard<'_, HashMap<K, SharedTask<T>, S>> {
    // `start` is the only foreign code that runs while the lock is held, and it runs before the map is changed.
    running.lock().unwrap_or_else(PoisonError::into_inner)
}
