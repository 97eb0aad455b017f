//! [`SingleFlight`]: at most one running task per key.

use std::{
    collections::{HashMap, hash_map::RandomState},
    fmt,
    future::Future,
    hash::{BuildHasher, Hash},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::JoinError;

use crate::SharedTask;

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
/// let flights: SingleFlight<&str, Result<u8, &str>> = SingleFlight::new(|_| Err("the task failed"));
/// let first = flights.join("key", || async { Ok(1) });
/// let second = flights.join("key", || async { Ok(2) });
/// assert_eq!((first.await, second.await), (Ok(1), Ok(1)));
/// assert_eq!(flights.join("key", || async { Ok(3) }).await, Ok(3));
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
