//! Captures log entries.

use std::{
    cell::RefCell,
    fmt::{Debug, Write},
    sync::Once,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

thread_local! {
    static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// The log entries of this thread, and so of this test.
///
/// One subscriber serves all tests: whether an event is of interest is remembered for the whole process, and a subscriber of
/// one thread can come too late for an event that another thread has just met first.
pub(crate) struct Log(());

impl Log {
    pub(crate) fn begin() -> Self {
        install();
        LINES.with_borrow_mut(Vec::clear);
        Self(())
    }

    pub(crate) fn errors(&self) -> usize {
        LINES.with_borrow(|lines| lines.iter().filter(|(level, _)| *level == Level::ERROR).count())
    }

    pub(crate) fn text(&self) -> String {
        LINES.with_borrow(|lines| lines.iter().map(|(level, line)| format!("{level} {line}\n")).collect())
    }
}

/// Installs the subscriber once, before any log entry.
pub(crate) fn install() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| tracing::subscriber::set_global_default(Recorder).expect("the only one"));
}

struct Recorder;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        LINES.with_borrow_mut(|lines| lines.push((*event.metadata().level(), line.0)));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
