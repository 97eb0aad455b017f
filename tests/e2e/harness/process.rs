//! A child process: what it says is kept, what it does ends with the test.

use std::{
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

/// A machine that builds something else meanwhile is slow.
const PATIENCE: Duration = Duration::from_secs(60);

const TICK: Duration = Duration::from_millis(5);

type Lines = Arc<Mutex<Vec<String>>>;

/// A child process. Dropping it kills it; what it said is printed if the test fails.
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Lines,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let name = format!("{:?}", command.as_std());
        let spawned =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{name}: {error}"));
        let lines = Lines::default();
        tokio::spawn(collect(child.stdout.take().expect("piped"), lines.clone()));
        tokio::spawn(collect(child.stderr.take().expect("piped"), lines.clone()));
        Self { name, child, lines }
    }

    /// Everything it has said, on both streams.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("a lock").clone()
    }

    /// The first line that begins with `prefix`, without it.
    pub(crate) async fn line(&self, prefix: &str) -> String {
        let line = self.line_number(0, prefix).await;
        line.unwrap_or_else(|| panic!("{} never said {prefix:?}: {:#?}", self.name, self.lines()))
    }

    /// Of the lines that begin with `prefix` the one that comes after `before` others, without the prefix; `None` if it ends without one.
    pub(crate) async fn line_number(&self, before: usize, prefix: &str) -> Option<String> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            // Asked first: what is said at the end is there after that.
            let has_ended = self.has_ended();
            let rest = self.lines().iter().filter_map(|line| line.strip_prefix(prefix)).nth(before).map(str::to_owned);
            if rest.is_some() || has_ended {
                return rest;
            }
            assert!(Instant::now() < give_up, "{} does not say {prefix:?}: {:#?}", self.name, self.lines());
            sleep(TICK).await;
        }
    }

    /// Waits until it ends by itself, well.
    pub(crate) async fn finished(self) -> Vec<String> {
        let name = self.name.clone();
        let (status, lines) = self.ended().await;
        assert!(status.success(), "{name}: {status}: {lines:#?}");
        lines
    }

    /// Waits until it ends by itself, somehow.
    pub(crate) async fn ended(mut self) -> (ExitStatus, Vec<String>) {
        let status = timeout(PATIENCE * 5, self.child.wait()).await.expect("it takes too long").expect("a child");
        self.drained().await;
        (status, self.lines())
    }

    /// Ends it, as a crash would.
    pub(crate) async fn kill(mut self) -> Vec<String> {
        self.child.kill().await.expect("a child");
        self.drained().await;
        self.lines()
    }

    /// Both readers are done when no other reference to the lines is left.
    fn has_ended(&self) -> bool {
        Arc::strong_count(&self.lines) == 1
    }

    async fn drained(&self) {
        while !self.has_ended() {
            sleep(TICK).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- {}\n{}", self.name, self.lines().join("\n"));
        }
    }
}

async fn collect(stream: impl AsyncRead + Unpin, lines: Lines) {
    let mut reader = BufReader::new(stream).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        lines.lock().expect("a lock").push(line);
    }
}
