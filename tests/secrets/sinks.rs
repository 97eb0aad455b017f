//! Where secrets could end up.

use std::{
    io,
    sync::{Arc, Mutex},
};

use http::header;
use metrics_util::debugging::DebuggingRecorder;
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

use crate::{secrets::Secrets, wiretap::Exchange};

/// All that this process logs.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Every crate, every level.
    pub(crate) fn of_everything() -> Self {
        let log = Self::default();
        let lines = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false);
        lines.with_writer(log.clone()).init();
        log
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// All that this process counts.
pub(crate) fn metrics() -> impl Fn() -> String {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install().expect("the first one");
    move || format!("{:?}", snapshotter.snapshot().into_vec())
}

/// Errors repeat no input, and pages show no secret.
pub(crate) fn assert_clean_answers(exchanges: &[Exchange], secrets: &Secrets) {
    let (mut errors, mut pages) = (0, 0);
    for exchange in exchanges.iter().filter(|exchange| !exchange.is_upstream) {
        let path = exchange.uri.split('?').next().unwrap_or_default();
        let (what, body) = (format!("{} {path}", exchange.status), String::from_utf8_lossy(&exchange.body));
        let content_type = exchange.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_page = content_type.is_some_and(|content_type| content_type.starts_with("text/html"));
        if is_page {
            pages += 1;
            secrets.assert_absent_from_page(&what, &body);
        } else if exchange.status.is_client_error() || exchange.status.is_server_error() {
            errors += 1;
            secrets.assert_absent(&what, &body);
            secrets.assert_absent(&what, &format!("{:?}", exchange.headers));
        }
    }
    assert!(errors > 10 && pages > 5, "{errors} errors, {pages} pages");
}
