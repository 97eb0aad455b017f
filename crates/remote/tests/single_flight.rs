//! `SingleFlight` and `SharedTask`: one execution for all callers, whatever becomes of the callers, the task or its runtime.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use portcullis_remote::{SharedTask, SingleFlight};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

type Outcome = Result<usize, &'static str>;

const SECOND: Duration = Duration::from_secs(1);
const FAILED: &str = "the task failed";

/// Work that takes a second and is counted when it begins and when it ends.
#[derive(Clone, Default)]
struct Work {
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Work {
    async fn run(self) -> Outcome {
        let number = self.begun.fetch_add(1, SeqCst) + 1;
        sleep(SECOND).await;
        self.ended.fetch_add(1, SeqCst);
        Ok(number)
    }

    fn begun(&self) -> usize {
        self.begun.load(SeqCst)
    }

    fn ended(&self) -> usize {
        self.ended.load(SeqCst)
    }
}

fn tasks() -> SingleFlight<&'static str, Outcome> {
    SingleFlight::new(|_| Err(FAILED))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().expect("runtime")
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_key_share_one_execution() {
    let (tasks, work) = (tasks(), Work::default());
    let waiting: Vec<_> = (0..1000).map(|_| tasks.clone().join("key", || work.clone().run())).collect();
    for task in waiting {
        assert_eq!(task.await, Ok(1));
    }
    assert_eq!(work.begun(), 1);
    assert!(tasks.is_empty(), "a task that has ended is removed");
    assert_eq!(tasks.join("key", || work.clone().run()).await, Ok(2), "no outcome is kept");
}

#[tokio::test(start_paused = true)]
async fn different_keys_do_not_wait_for_each_other() {
    let (tasks, work) = (tasks(), Work::default());
    let hangs = tasks.join("hangs", std::future::pending::<Outcome>);
    let other = tasks.join("other", || work.clone().run());
    assert_eq!(timeout(SECOND * 2, other).await, Ok(Ok(1)));
    assert!(!hangs.is_finished());
    assert_eq!(tasks.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_neither_cancels_nor_repeats_the_task() {
    let (tasks, work) = (tasks(), Work::default());
    for _ in 0..300 {
        let waiting = tasks.join("key", || work.clone().run());
        assert!(timeout(Duration::from_millis(1), waiting).await.is_err());
    }
    assert_eq!((work.begun(), work.ended()), (1, 0));
    sleep(SECOND).await;
    assert_eq!((work.begun(), work.ended()), (1, 1));
    assert!(tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_all_waiters_and_the_next_caller_starts_anew() {
    let (tasks, work) = (tasks(), Work::default());
    let panics = || async {
        sleep(SECOND).await;
        panic!("on purpose")
    };
    let (one, two) = (tasks.join("key", panics), tasks.join("key", || work.clone().run()));
    assert_eq!((one.await, two.await), (Err(FAILED), Err(FAILED)));
    assert_eq!(tasks.join("key", || work.clone().run()).await, Ok(1));
}

#[test]
fn a_runtime_that_stops_fails_all_waiters_and_the_next_caller_starts_anew() {
    let (tasks, work) = (tasks(), Work::default());
    let first = runtime();
    let join = |key| {
        let _entered = first.enter();
        tasks.join(key, || work.clone().run())
    };
    let polled = join("polled");
    first.block_on(tokio::task::yield_now());
    let never_polled = join("never polled");
    drop(first);
    assert!(polled.is_finished() && never_polled.is_finished(), "though nothing has waited for them yet");
    runtime().block_on(async {
        assert_eq!((polled.await, never_polled.await), (Err(FAILED), Err(FAILED)));
        assert!(tasks.join("polled", || work.clone().run()).await.is_ok());
        assert!(tasks.join("never polled", || work.clone().run()).await.is_ok());
    });
    assert!(tasks.is_empty());
}

#[test]
fn a_task_that_is_spawned_on_a_stopped_runtime_is_finished_at_once() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().expect("runtime");
    let (handle, work) = (runtime.handle().clone(), Work::default());
    drop(runtime);
    let _entered = handle.enter();
    let tasks = tasks();
    let task = tasks.join("key", || work.clone().run());
    assert!(task.is_finished());
    assert!(tasks.join("key", || work.clone().run()).is_finished(), "it is replaced, without a deadlock");
    assert_eq!(work.begun(), 0);
}

#[test]
fn threads_that_join_at_the_same_time_start_one_task_at_a_time() {
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("runtime");
    let (tasks, running, most) = (tasks(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let work = || {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        async move {
            most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::task::yield_now().await;
            running.fetch_sub(1, SeqCst);
            Ok(0)
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let task = {
                        let _entered = runtime.enter();
                        tasks.join("key", work)
                    };
                    assert_eq!(runtime.block_on(task), Ok(0));
                }
            });
        }
    });
    assert_eq!(most.load(SeqCst), 1);
    assert!(tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_shared_task_may_be_spawned_by_a_tracker() {
    let (tracker, work) = (TaskTracker::new(), Work::default());
    let task = SharedTask::new(tracker.spawn_on(work.clone().run(), &Handle::current()), |_| Err(FAILED));
    drop(task.clone());
    assert!(!task.is_finished());
    tracker.close();
    tracker.wait().await;
    assert!(task.is_finished());
    assert_eq!((task.clone().await, task.await), (Ok(1), Ok(1)));
    assert_eq!(work.ended(), 1);
}
