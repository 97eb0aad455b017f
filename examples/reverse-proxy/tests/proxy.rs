//! The proxy as a process, in front of a server without authentication.

use std::{
    convert::Infallible,
    net::TcpListener as StdListener,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, routing::any};
use futures_util::stream;
use portcullis_testkit::IdentityProvider;
use reqwest::{Client, StatusCode};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    time::{Instant, sleep, timeout},
};

const SOON: Duration = Duration::from_secs(5);

struct Proxy {
    child: Child,
    resource: String,
}

impl Proxy {
    async fn start(upstream: &str, issuer: &str) -> Self {
        let port = StdListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let resource = format!("http://127.0.0.1:{port}/mcp");
        let child = Command::new(env!("CARGO_BIN_EXE_reverse-proxy"))
            .args([&*resource, upstream, issuer])
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let give_up = Instant::now() + SOON;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < give_up, "the proxy does not listen");
            sleep(Duration::from_millis(20)).await;
        }
        Self { child, resource }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts a server that reports its requests. It responds with one event at once, and with a second one after `go_on`.
async fn upstream(go_on: Arc<Notify>) -> (String, mpsc::UnboundedReceiver<Request>) {
    let (seen, requests) = mpsc::unbounded_channel();
    let handler = move |request: Request| {
        let (seen, go_on) = (seen.clone(), Arc::clone(&go_on));
        async move {
            seen.send(request).expect("the test receives");
            let events = stream::unfold(0, move |sent| {
                let go_on = Arc::clone(&go_on);
                async move {
                    if sent == 1 {
                        go_on.notified().await;
                    }
                    (sent < 2).then(|| (Ok::<_, Infallible>(format!("data: {sent}\n\n")), sent + 1))
                }
            });
            ([("content-type", "text/event-stream"), ("mcp-session-id", "s-1")], Body::from_stream(events))
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async { axum::serve(listener, Router::new().fallback(any(handler))).await });
    (url, requests)
}

#[tokio::test]
async fn an_accepted_request_is_streamed_and_forwarded_without_the_token() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let go_on = Arc::new(Notify::new());
    let (url, mut requests) = upstream(Arc::clone(&go_on)).await;
    let proxy = Proxy::start(&url, running.url()).await;
    let token = provider.token("alice").with_audience(&proxy.resource).jwt();

    let request = Client::new().post(format!("{}?x=1", proxy.resource)).bearer_auth(token).header("mcp-name", "whoami");
    let mut response = request.body("hello").send().await.expect("answer");
    let seen = requests.recv().await.expect("a request");
    assert_eq!(seen.uri(), "/mcp?x=1");
    assert_eq!(seen.headers()["mcp-name"], "whoami");
    assert_eq!(seen.headers()["host"], url.trim_start_matches("http://"));
    assert!(!seen.headers().contains_key("authorization"));
    assert_eq!(axum::body::to_bytes(seen.into_body(), 100).await.expect("body"), "hello");

    assert_eq!(response.status(), StatusCode::OK);
    let session = response.headers()["mcp-session-id"].to_str().expect("text");
    assert!(session.starts_with("s-1."), "bound to its user: {session}");
    // The second event does not exist yet: a proxy that buffers the body would never return the first one.
    let first = timeout(SOON, response.chunk()).await.expect("in time").expect("chunk");
    assert_eq!(first.expect("an event"), "data: 0\n\n");
    go_on.notify_one();
    let second = timeout(SOON, response.chunk()).await.expect("in time").expect("chunk");
    assert_eq!(second.expect("an event"), "data: 1\n\n");
}

#[tokio::test]
async fn a_request_without_a_token_is_rejected() {
    let running = IdentityProvider::new().serve().await.expect("a port");
    let (url, mut requests) = upstream(Arc::default()).await;
    let proxy = Proxy::start(&url, running.url()).await;
    let refused = reqwest::get(&proxy.resource).await.expect("answer");
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(refused.headers().contains_key("www-authenticate"));
    assert!(requests.try_recv().is_err(), "the upstream saw nothing");
}

#[tokio::test]
async fn an_unreachable_upstream_is_reported_as_502() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let proxy = Proxy::start("http://127.0.0.1:1", running.url()).await;
    let token = provider.token("alice").with_audience(&proxy.resource).jwt();
    let answer = Client::new().post(&proxy.resource).bearer_auth(token).send().await.expect("answer");
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn tr_01_a_foreign_host_or_origin_is_rejected_with_and_without_a_token() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let (url, mut requests) = upstream(Arc::default()).await;
    let proxy = Proxy::start(&url, running.url()).await;
    let token = provider.token("alice").with_audience(&proxy.resource).jwt();
    for (name, value) in [
        ("host", "evil.example"),
        ("host", "127.0.0.1.evil.example"),
        ("origin", "https://evil.example"),
        ("origin", "https://localhost@evil.example"),
        ("origin", "null"),
    ] {
        let request = || Client::new().post(&proxy.resource).header(name, value);
        for request in [request(), request().bearer_auth(&token)] {
            assert_eq!(request.send().await.expect("answer").status(), StatusCode::FORBIDDEN, "{name}: {value}");
        }
    }
    assert!(requests.try_recv().is_err(), "the upstream saw nothing");
    let allowed = Client::new().post(&proxy.resource).header("origin", "http://localhost:6274").bearer_auth(&token);
    assert_eq!(allowed.send().await.expect("answer").status(), StatusCode::OK);
}
