//! What the gate counts.

use std::convert::Infallible;

use http::{Request, Response};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use portcullis_core::{AuthError, Reason};
use portcullis_layer::Auth;
use tower::ServiceExt as _;

use crate::support::{Body, Verifier, config, request};

#[tokio::test]
async fn every_request_is_counted_once_by_its_outcome() {
    let recorder = DebuggingRecorder::new();
    // Refuses inside the gate, as a scope layer does.
    let inner = tower::service_fn(async |request: Request<Body>| {
        let mut response = Response::new(Body::default());
        if request.method() == "PUT" {
            response.extensions_mut().insert(AuthError::new(Reason::InsufficientScope));
        }
        Ok::<_, Infallible>(response)
    });
    let auth = metrics::with_local_recorder(&recorder, || Auth::around(inner, config(&Verifier::new())));
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
