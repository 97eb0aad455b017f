//! [`LogCapture`]: the log lines of a test.

use std::{
    io,
    sync::{Mutex, Once, PoisonError},
    thread::{self, ThreadId},
};

use tracing::Level;

/// Every line that this process has logged, with its thread.
static LINES: Mutex<Vec<(ThreadId, String)>> = Mutex::new(Vec::new());

/// The log lines of one test, or of all tests of the process.
///
/// One subscriber serves the whole process: `tracing` caches for the whole process whether a call site is enabled, so that a
/// subscriber of one thread can be too late for a call site that another thread has passed.
#[derive(Debug)]
pub struct LogCapture {
    thread: Option<ThreadId>,
    /// The number of lines before this capture began.
    begin: usize,
}

impl LogCapture {
    /// Installs the subscriber: for fixtures of tests of which only some capture the log.
    pub fn install() {
        install();
    }

    /// Begins a capture of what this thread logs: with a runtime of one thread, everything that a test logs.
    #[must_use]
    pub fn of_this_thread() -> Self {
        install();
        Self { thread: Some(thread::current().id()), begin: lines(|lines| lines.len()) }
    }

    /// Returns a capture of everything that all threads have logged since the first capture.
    #[must_use]
    pub fn of_all_threads() -> Self {
        install();
        Self { thread: None, begin: 0 }
    }

    /// Returns the captured lines.
    #[must_use]
    pub fn text(&self) -> String {
        lines(|lines| {
            let own = lines[self.begin..].iter().filter(|(thread, _)| self.thread.is_none_or(|own| own == *thread));
            own.map(|(_, line)| line.as_str()).collect()
        })
    }

    /// Returns the captured lines that contain `text`.
    #[must_use]
    pub fn lines(&self, text: &str) -> Vec<String> {
        self.text().lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// Returns the number of lines at level `error`.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.text().lines().filter(|line| line.trim_start().starts_with("ERROR")).count()
    }
}

/// Installs the subscriber; call it before anything is logged.
fn install() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false).without_time();
        subscriber.with_writer(|| Lines).init();
    });
}

fn lines<T>(read: impl FnOnce(&mut Vec<(ThreadId, String)>) -> T) -> T {
    read(&mut LINES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A writer that gets each event in one piece.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes).into_owned();
        lines(|lines| lines.push((thread::current().id(), line)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
