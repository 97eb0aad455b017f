//! [`Child`]: a process as the tests see it.

use std::{
    env, fmt,
    process::Stdio,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{self, Command},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::commands::{COMMANDS, Commands, MARK, Report};

/// A machine that builds something else meanwhile is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

const TICK: Duration = Duration::from_millis(5);

/// A process that says something of the kind `S`. Dropping it kills it; what it logged is printed if the test fails.
pub(crate) struct Child<S: fmt::Debug = Report> {
    process: process::Child,
    lines: Arc<Mutex<Lines<S>>>,
    readers: JoinSet<()>,
}

struct Lines<S> {
    said: Vec<S>,
    log: Vec<String>,
}

impl Child {
    pub(crate) fn start(commands: &Commands) -> Self {
        Self::run("worker::a_process_of_its_own", commands)
    }

    pub(crate) async fn is_ready(&self) {
        self.says(1, |said| matches!(said, Report::Ready)).await;
    }
}

impl<S: fmt::Debug + DeserializeOwned + Send + 'static> Child<S> {
    /// Starts this program anew, as the test `test`.
    pub(crate) fn run(test: &str, commands: &impl Serialize) -> Self {
        let mut command = Command::new(env::current_exe().expect("a path"));
        command.args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env(COMMANDS, serde_json::to_string(commands).expect("plain data")).env_remove("RUST_LOG");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("a process");
        let lines = Arc::new(Mutex::new(Lines { said: Vec::new(), log: Vec::new() }));
        let mut readers = JoinSet::new();
        readers.spawn(collect(process.stdout.take().expect("piped"), Arc::clone(&lines)));
        readers.spawn(collect(process.stderr.take().expect("piped"), Arc::clone(&lines)));
        Self { process, lines, readers }
    }

    /// How often it has said something of that kind.
    pub(crate) fn count(&self, kind: impl Fn(&S) -> bool) -> usize {
        self.lines.lock().expect("a lock").said.iter().filter(|said| kind(said)).count()
    }

    /// Waits until it has said something of that kind so often.
    pub(crate) async fn says(&self, times: usize, kind: impl Fn(&S) -> bool) {
        let give_up = Instant::now() + PATIENCE;
        while self.count(&kind) < times {
            assert!(Instant::now() < give_up, "it does not say what it should");
            sleep(TICK).await;
        }
    }

    /// Waits until it has said what `what` looks for.
    pub(crate) async fn tells<T>(&self, what: impl Fn(&S) -> Option<T>) -> T {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(told) = self.lines.lock().expect("a lock").said.iter().find_map(&what) {
                return told;
            }
            assert!(Instant::now() < give_up, "it does not tell what it should");
            sleep(TICK).await;
        }
    }

    /// Waits until it has logged `text`.
    pub(crate) async fn logs(&self, text: &str) {
        let give_up = Instant::now() + PATIENCE;
        while !self.lines.lock().expect("a lock").log.iter().any(|line| line.contains(text)) {
            assert!(Instant::now() < give_up, "it does not log {text:?}");
            sleep(TICK).await;
        }
    }

    /// Kills it as `kill -9` does. What it has said.
    pub(crate) async fn kill(mut self) -> Vec<S> {
        self.process.kill().await.expect("a process");
        self.all().await
    }

    /// Lets it come to its end. What it has said.
    pub(crate) async fn stop(mut self) -> Vec<S> {
        drop(self.process.stdin.take());
        let status = timeout(PATIENCE, self.process.wait()).await.expect("it takes too long").expect("a process");
        assert!(status.success(), "{status}");
        self.all().await
    }

    async fn all(mut self) -> Vec<S> {
        while self.readers.join_next().await.is_some() {}
        std::mem::take(&mut self.lines.lock().expect("a lock").said)
    }
}

impl<S: fmt::Debug> Drop for Child<S> {
    fn drop(&mut self) {
        if thread::panicking()
            && let Ok(lines) = self.lines.lock()
        {
            let last = lines.said.len().saturating_sub(20);
            eprintln!("--- a process\n{}\n{:#?}", lines.log.join("\n"), &lines.said[last..]);
        }
    }
}

async fn collect<S: DeserializeOwned>(stream: impl AsyncRead + Unpin, lines: Arc<Mutex<Lines<S>>>) {
    let mut reader = BufReader::new(stream).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        let mut lines = lines.lock().expect("a lock");
        match line.split_once(MARK) {
            // The last line of one that was killed may be half a line.
            Some((_, said)) => lines.said.extend(serde_json::from_str::<S>(said)),
            None => lines.log.push(line),
        }
    }
}
