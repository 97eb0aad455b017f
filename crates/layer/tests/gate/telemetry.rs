//! Metrics and logs of the auth layer.

use std::{
    cell::RefCell,
    convert::Infallible,
    fmt::{Debug, Write as _},
    sync::Arc,
    time::Duration,
};

use http::{Request, Response};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use portcullis_core::{AuthError, BearerToken, Issuer, Reason, ScopeSet, UserContext};
use portcullis_layer::{Auth, AuthConfig};
use tower::ServiceExt as _;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::support::{Body, Verifier, config, metadata, request};

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

/// The error of an egress client, with the error of the connection below it.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to https://idp.example.com/keys")]
struct Unreachable(#[source] std::io::Error);

#[tokio::test(start_paused = true)]
async fn the_cause_of_every_refusal_is_logged_once_in_five_seconds_for_each_reason() {
    tracing::subscriber::set_global_default(Recorder).expect("the only one");
    let inner = tower::service_fn(async |request: Request<Body>| {
        let mut response = Response::new(Body::default());
        if request.method() == "PUT" {
            let scopes = ScopeSet::parse("mcp:admin mcp:write").expect("scopes");
            response.extensions_mut().insert(AuthError::insufficient_scope(scopes));
        }
        Ok::<_, Infallible>(response)
    });
    let verifier = tower::service_fn(async |token: BearerToken| {
        let error = |reason| AuthError::new(reason);
        Err::<Arc<UserContext>, _>(match token.expose_secret() {
            "junk" => {
                error(Reason::WrongAudience).with_source("`aud` is \"a\nb\"; accepted is https://mcp.example.com/mcp")
            }
            "down" => error(Reason::KeySetUnavailable)
                .with_source(Unreachable(std::io::Error::other("Connection refused (os error 111)"))),
            "later" => error(Reason::BackingOff).with_source("status 503 of https://idp.example.com/keys"),
            _ => {
                return Ok(Arc::new(
                    UserContext::builder(Issuer::new("https://idp.example.com").expect("issuer"), "alice").build(),
                ));
            }
        })
    });
    let auth = Auth::new(inner, AuthConfig::new(metadata(), verifier));
    let expected = [
        (Level::INFO, "wrong_audience", r#"source=`aud` is "a\nb"; accepted is https://mcp.example.com/mcp"#),
        (
            Level::WARN,
            "key_set_unavailable",
            "source=cannot connect to https://idp.example.com/keys: Connection refused (os error 111)",
        ),
        (Level::INFO, "backing_off", "source=status 503 of https://idp.example.com/keys"),
        (Level::INFO, "no_credentials", "no bearer token"),
        (Level::INFO, "malformed_header", "cannot be parsed"),
        (Level::INFO, "insufficient_scope", "scopes=mcp:admin mcp:write"),
    ];
    for _ in 0..2 {
        for _ in 0..100 {
            for (method, token) in
                [("GET", "junk"), ("GET", "down"), ("GET", "later"), ("GET", ""), ("GET", "a b"), ("PUT", "alice")]
            {
                auth.clone().oneshot(request(method, token)).await.expect("response");
            }
        }
        let lines = LINES.take();
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for ((level, line), (expected, reason, part)) in lines.iter().zip(expected) {
            assert!(
                *level == expected && line.contains(reason) && line.contains(part),
                "{reason}, {part}: {level} {line}"
            );
            assert!(!line.contains('\n'), "one line: {line}");
        }
        tokio::time::advance(Duration::from_secs(5)).await;
    }
}
