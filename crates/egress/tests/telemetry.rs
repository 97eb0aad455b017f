//! What an egress counts: a stable interface.

use bytes::Bytes;
use http::{Request, Response};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use portcullis_egress::{Egress, EgressError, EgressErrorKind, RequestKind};
use tower::ServiceExt;

#[tokio::test]
async fn requests_are_counted_by_purpose_and_outcome_and_timed_by_purpose() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);

    let egress = Egress::from_service(tower::service_fn(async |request: Request<Bytes>| {
        match request.uri().path()[1..].parse::<u16>() {
            Ok(status) => Ok(Response::builder().status(status).body(Bytes::new()).expect("response")),
            Err(_) => Err(EgressError::new(EgressErrorKind::Connect, request.uri())),
        }
    }));
    for path in ["200", "302", "401", "503", "gone"] {
        let url = format!("https://idp.example.com/{path}");
        let request = Request::get(url).extension(RequestKind::new("key_set")).body(Bytes::new()).expect("request");
        let _result = egress.clone().oneshot(request).await;
    }
    let unlabelled = Request::get("https://idp.example.com/200").body(Bytes::new()).expect("request");
    egress.oneshot(unlabelled).await.expect("response");

    let mut seen: Vec<_> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let labels: Vec<_> = key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
            let times = match value {
                DebugValue::Counter(times) => usize::try_from(times).expect("few"),
                DebugValue::Histogram(values) => values.len(),
                DebugValue::Gauge(_) => panic!("no gauges"),
            };
            (key.key().name().to_owned(), labels.join(","), times)
        })
        .collect();
    seen.sort();
    let expected = [
        ("portcullis_egress_requests_total", "purpose=key_set,outcome=client_error", 1),
        ("portcullis_egress_requests_total", "purpose=key_set,outcome=connect", 1),
        ("portcullis_egress_requests_total", "purpose=key_set,outcome=server_error", 1),
        ("portcullis_egress_requests_total", "purpose=key_set,outcome=success", 2),
        ("portcullis_egress_requests_total", "purpose=other,outcome=success", 1),
        ("portcullis_egress_seconds", "purpose=key_set", 5),
        ("portcullis_egress_seconds", "purpose=other", 1),
    ];
    assert_eq!(seen, expected.map(|(name, labels, times)| (name.to_owned(), labels.to_owned(), times)));
}
