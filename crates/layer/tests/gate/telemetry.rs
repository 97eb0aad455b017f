//! Metrics and logs of the auth layer.

use std::{
    cell::RefCell,
    convert::Infallible,
    fmt::{Debug, Write as _},
    time::Duration,
};

use http::{Request, Response};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use portcullis_core::{AuthError, Reason};
use portcullis_layer::Auth;
use tower::ServiceExt as _;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::support::{Body, Verifier, config, request};

#[tokio::test]
async fn every_request_is_counted_once_by_its_outcome() {
    let recorder = DebuggingRecorder::new();
    // Rejects inside the auth layer, as a scope layer does.
    let inner = tower::service_fn(async |request: Request<Body>| {
        let mut response = Response::new(Body::default());
        if request.method() == "PUT" {
            response.extensions_mut().insert(AuthError::new(Reason::InsufficientScope));
        }
        Ok::<_, Infallible>(response)
    });
    let auth = metrics::with_local_recorder(&recorder, || Auth::new(inner, config(&Verifier::new())));
    let mut stolen = request("POST", "alice");
    stolen.headers_mut().insert("mcp-session-id", "guessed".parse().expect("value"));
    let requests = [
        request("POST", "alice"),
        request("PUT", "alice"),
        request("POST", ""),
        request("POST", "junk"),
        request("POST", "down"),
        request("POST", "junk"),
        stolen,
    ];
    for request in requests {
        auth.clone().oneshot(request).await.expect("response");
    }

    let mut seen: Vec<_> = recorder
        .snapshotter()
        .snapshot()
        .into_vec()
        .into_iter()
        .filter(|(_, _, _, value)| *value != DebugValue::Counter(0))
        .map(|(key, _, _, value)| {
            let labels: Vec<_> = key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            assert_eq!(key.key().name(), "portcullis_requests_total");
            (labels.join(" "), value)
        })
        .collect();
    seen.sort_by_key(|(labels, _)| labels.clone());
    let expected = [
        ("accepted", 1),
        ("bad_signature", 2),
        ("insufficient_scope", 1),
        ("no_credentials", 1),
        ("provider_timeout", 1),
        ("session_not_found", 1),
    ];
    let expected = expected.map(|(outcome, count)| (format!("outcome={outcome}"), DebugValue::Counter(count)));
    assert_eq!(seen, expected);
}

thread_local! {
    static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// Stores the log of each thread. There is one subscriber for all tests, because tracing caches the interest in an event for the whole
/// process.
struct Recorder;

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        LINES.with_borrow_mut(|lines| lines.push((*event.metadata().level(), fields.0)));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn the_cause_of_a_refusal_is_logged_once_in_five_seconds_for_each_reason() {
    tracing::subscriber::set_global_default(Recorder).expect("the only one");
    let inner = tower::service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::default())));
    let auth = Auth::new(inner, config(&Verifier::new()));
    for _ in 0..2 {
        for _ in 0..100 {
            for token in ["junk", "down", "", "alice"] {
                auth.clone().oneshot(request("POST", token)).await.expect("response");
            }
        }
        let lines = LINES.take();
        assert_eq!(lines.iter().map(|(level, _)| *level).collect::<Vec<_>>(), [Level::INFO, Level::WARN], "{lines:?}");
        assert!(lines[0].1.contains("reason=\"bad_signature\""), "{lines:?}");
        assert!(lines[1].1.contains("source=connection to 10.0.0.7 timed out"), "{lines:?}");
        tokio::time::advance(Duration::from_secs(5)).await;
    }
}
