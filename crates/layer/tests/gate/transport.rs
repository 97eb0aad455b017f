//! The HTTP transport of MCP: metadata, preflight, sessions, streams.

use std::{convert::Infallible, sync::Arc, time::Duration};

use super::support::{Body, METADATA, RESOURCE, Verifier, config, request, text, whoami};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use portcullis_layer::{Auth, StreamLifetime};
use portcullis_testkit::StrictService;
use tokio::{
    sync::mpsc,
    time::{Instant, advance, timeout},
};
use tower::ServiceExt as _;

// --- metadata and preflight

fn bare(method: Method, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::default()).expect("request")
}

#[tokio::test]
async fn tr_13_the_metadata_is_served_without_a_token_under_both_paths() {
    let auth = Auth::new(StrictService::new(whoami::<Body>), config(&Verifier::new()));
    for path in [
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-protected-resource/mcp/",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/",
    ] {
        let response = auth.clone().oneshot(bare(Method::GET, path)).await.expect("response");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        assert!(response.headers()["cache-control"].to_str().expect("text").contains("max-age"));
        let document: serde_json::Value = serde_json::from_str(&text(response).await.1).expect("json");
        assert_eq!(document["resource"], RESOURCE);
        assert_eq!(document["authorization_servers"][0], "https://idp.example.com");

        let head = auth.clone().oneshot(bare(Method::HEAD, path)).await.expect("response");
        assert_ne!(head.headers()["content-length"], "0");
        assert_eq!(text(head).await, (StatusCode::OK, String::new()));
        let options = auth.clone().oneshot(bare(Method::OPTIONS, path)).await.expect("response");
        assert_eq!(options.status(), 204);
        let post = auth.clone().oneshot(bare(Method::POST, path)).await.expect("response");
        assert_eq!(
            (post.status(), &post.headers()["allow"]),
            (StatusCode::METHOD_NOT_ALLOWED, &"GET, HEAD, OPTIONS".parse().expect("value"))
        );
    }
}

#[tokio::test]
async fn tr_13_no_other_path_is_open_and_an_unknown_well_known_document_is_not_found() {
    let auth = Auth::new(StrictService::new(whoami::<Body>), config(&Verifier::new()));
    for (path, status) in [
        ("/.well-known/oauth-protected-resource/mcp/x", 404),
        ("/.well-known/oauth-protected-resource/mcp//", 404),
        ("/.well-known/oauth-protected-resourceX", 404),
        ("/.well-known/oauth-protected-resource/%6dcp", 404),
        ("/.well-known/oauth-authorization-server", 404),
        ("/.well-known/openid-configuration/mcp", 404),
        ("/x/.well-known/oauth-protected-resource", 401),
        ("//.well-known/oauth-protected-resource/mcp", 401),
        ("/.well-known", 401),
    ] {
        let response = auth.clone().oneshot(bare(Method::GET, path)).await.expect("response");
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers().contains_key("www-authenticate"), status == 401, "{path}");
    }
    let mut with_token = request("GET", "alice");
    *with_token.uri_mut() = "/.well-known/of-the-inner-service".parse().expect("a URI");
    assert_eq!(text(auth.oneshot(with_token).await.expect("response")).await, (StatusCode::OK, "alice".to_owned()));
}

#[tokio::test]
async fn rs_03_the_url_in_the_challenge_is_the_one_that_is_served() {
    let auth = Auth::new(tower::service_fn(whoami::<Body>), config(&Verifier::new()));
    let path = METADATA.strip_prefix("https://mcp.example.com").expect("same origin");
    assert_eq!(auth.oneshot(bare(Method::GET, path)).await.expect("response").status(), 200);
}

#[tokio::test]
async fn tr_12_a_preflight_passes_and_no_other_options_request_does() {
    let auth = Auth::new(tower::service_fn(whoami::<Body>), config(&Verifier::new()));
    let mut preflight = bare(Method::OPTIONS, "/mcp");
    preflight.headers_mut().insert("origin", "https://app.example".parse().expect("value"));
    assert_eq!(auth.clone().oneshot(preflight.clone()).await.expect("response").status(), 401);
    preflight.headers_mut().insert("access-control-request-method", "POST".parse().expect("value"));
    assert_eq!(text(auth.clone().oneshot(preflight.clone()).await.expect("response")).await.1, "anonymous");
    *preflight.method_mut() = Method::POST;
    assert_eq!(auth.clone().oneshot(preflight).await.expect("response").status(), 401);
}

#[tokio::test]
async fn tr_02_every_method_needs_a_token_and_the_inner_service_answers_405() {
    let not_allowed = tower::service_fn(async |_: Request<Body>| {
        let mut response = Response::new(Body::default());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        Ok::<_, Infallible>(response)
    });
    let auth = Auth::new(not_allowed, config(&Verifier::new()));
    for method in ["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD", "BREW"] {
        assert_eq!(auth.clone().oneshot(request(method, "")).await.expect("response").status(), 401, "{method}");
        assert_eq!(auth.clone().oneshot(request(method, "alice")).await.expect("response").status(), 405, "{method}");
    }
}

#[tokio::test]
async fn tr_14_only_paths_that_were_named_are_open() {
    let config = config(&Verifier::new()).with_open_path("/healthz");
    let auth = Auth::new(tower::service_fn(whoami::<Body>), config);
    let status = async |path: &str| auth.clone().oneshot(bare(Method::GET, path)).await.expect("response").status();
    assert_eq!(status("/healthz").await, 200);
    for path in ["/healthz/", "/healthz/x", "/Healthz", "/mcp"] {
        assert_eq!(status(path).await, 401, "{path}");
    }
}

// --- streams

type Frames = StreamBody<Receiver>;

/// Converts the receiving end of a channel to a stream of frames.
struct Receiver(mpsc::Receiver<Bytes>);

impl futures_core::Stream for Receiver {
    type Item = Result<http_body::Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}

/// Creates a response stream of type `media_type` through an auth layer, and its sending end.
async fn stream(
    verifier: &Verifier,
    life: StreamLifetime,
    media_type: &'static str,
) -> (portcullis_layer::ResponseBody<Frames>, mpsc::Sender<Bytes>) {
    let (sender, receiver) = mpsc::channel(4);
    let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
    let inner = tower::service_fn(move |_: Request<Body>| {
        let receiver = receiver.lock().expect("lock").take().expect("called once");
        let mut response = Response::new(StreamBody::new(Receiver(receiver)));
        response.headers_mut().insert("content-type", media_type.parse().expect("value"));
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let auth = Auth::new(inner, config(verifier).with_stream_lifetime(life));
    let response = auth.oneshot(request("GET", "alice")).await.expect("response");
    (response.into_body(), sender)
}

#[tokio::test(start_paused = true)]
async fn tr_05_frames_come_as_they_are_sent() {
    for media_type in ["text/event-stream", "application/json"] {
        let (mut body, sender) = stream(&Verifier::new(), StreamLifetime::UntilTokenExpiry, media_type).await;
        for word in ["one", "two"] {
            sender.send(Bytes::from_static(word.as_bytes())).await.expect("open");
            let frame = body.frame().await.expect("a frame").expect("no error");
            assert_eq!(frame.into_data().expect("data"), word);
        }
        drop(sender);
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn tr_05_trailers_pass() {
    let inner = tower::service_fn(async |_: Request<Body>| {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", "1".parse().expect("value"));
        let body = Body::from("data").with_trailers(std::future::ready(Some(Ok(trailers))));
        Ok::<_, Infallible>(Response::new(body))
    });
    let auth = Auth::new(inner, config(&Verifier::new()));
    let body =
        auth.oneshot(request("GET", "alice")).await.expect("response").into_body().collect().await.expect("body");
    assert_eq!(body.trailers().expect("trailers")["x-checksum"], "1");
}

#[tokio::test(start_paused = true)]
async fn tr_04_an_event_stream_ends_cleanly_when_its_token_expires() {
    let verifier = Verifier::new();
    let (mut body, sender) =
        stream(&verifier, StreamLifetime::UntilTokenExpiry, "text/event-stream; charset=utf-8").await;
    let begun = Instant::now();
    sender.send(Bytes::from_static(b"data: 1\n\n")).await.expect("open");
    assert!(body.frame().await.is_some());
    assert!(body.frame().await.is_none(), "an end, not an error");
    assert_eq!(begun.elapsed().as_secs(), 3600);
    assert!(sender.is_closed(), "the producer is told");
    assert!(body.frame().await.is_none(), "and it stays ended");
}

#[tokio::test(start_paused = true)]
async fn tr_04_an_event_stream_ends_when_the_wall_clock_passes_the_expiry_while_the_machine_sleeps() {
    let verifier = Verifier::new();
    let (mut body, _sender) = stream(&verifier, StreamLifetime::UntilTokenExpiry, "text/event-stream").await;
    timeout(Duration::from_secs(1), body.frame()).await.expect_err("open");
    verifier.clock.advance(Duration::from_hours(2));
    assert!(timeout(Duration::from_mins(2), body.frame()).await.expect("noticed").is_none());
}

#[tokio::test(start_paused = true)]
async fn tr_04_a_stream_that_begins_past_the_expiry_is_not_empty() {
    let verifier = Verifier::new();
    let clock = verifier.clock.clone();
    let (sender, receiver) = mpsc::channel(1);
    sender.send(Bytes::from_static(b"data: 1\n\n")).await.expect("open");
    let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
    let inner = tower::service_fn(move |_: Request<Body>| {
        // The token expires during the request; to the auth layer that is the same as a token accepted by leeway.
        clock.advance(Duration::from_secs(3630));
        let receiver = receiver.lock().expect("lock").take().expect("called once");
        let response = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(Ok::<_, Infallible>(response.body(StreamBody::new(Receiver(receiver))).expect("response")))
    });
    let response = Auth::new(inner, config(&verifier)).oneshot(request("POST", "alice")).await.expect("response");
    let (mut body, begun) = (response.into_body(), Instant::now());
    assert!(body.frame().await.is_some(), "the answer arrives");
    assert!(body.frame().await.is_none());
    assert_eq!(begun.elapsed().as_secs(), 60, "and no more than that");
}

#[tokio::test(start_paused = true)]
async fn tr_04_an_event_stream_ends_at_once_when_its_token_is_withdrawn() {
    let verifier = Verifier::new();
    let (mut body, sender) = stream(&verifier, StreamLifetime::UntilTokenExpiry, "text/event-stream").await;
    timeout(Duration::from_secs(1), body.frame()).await.expect_err("open");
    let reading = tokio::spawn(async move { body.frame().await.is_none() });
    advance(Duration::from_secs(1)).await;
    verifier.known.lock().expect("lock")[0].revocation().revoke();
    assert!(timeout(Duration::from_millis(1), reading).await.expect("at once").expect("no panic"));
    assert!(sender.is_closed());
}

#[tokio::test(start_paused = true)]
async fn tr_04_other_responses_and_unlimited_streams_go_on() {
    for (life, media_type) in
        [(StreamLifetime::UntilTokenExpiry, "application/json"), (StreamLifetime::Unlimited, "text/event-stream")]
    {
        let verifier = Verifier::new();
        let (mut body, sender) = stream(&verifier, life, media_type).await;
        verifier.known.lock().expect("lock")[0].revocation().revoke();
        timeout(Duration::from_hours(2), body.frame()).await.expect_err("still open");
        sender.send(Bytes::from_static(b"x")).await.expect("open");
        assert!(body.frame().await.is_some());
    }
}
