//! The guards of an egress, over real sockets.

use std::{
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use portcullis_egress::{Egress, EgressConfig, EgressError, EgressErrorKind, MaxBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower::ServiceExt;

/// A server on loopback that answers every connection alike, and what it was asked.
struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Sends `answer` and keeps the connection open.
    async fn new(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(answer.into(), true).await
    }

    async fn start(answer: Vec<u8>, stays_open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), answer.clone());
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        request.push(socket.read_u8().await.unwrap_or(b'\n'));
                    }
                    seen.lock().expect("lock").push(String::from_utf8_lossy(&request).to_ascii_lowercase());
                    socket.write_all(&answer).await.expect("written");
                    if stays_open {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { port, requests }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/path?secret=s3cret", self.port)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("lock").clone()
    }
}

fn config() -> EgressConfig {
    EgressConfig::new().with_loopback_allowed()
}

async fn get(config: EgressConfig, url: &str) -> Result<Response<Bytes>, EgressError> {
    let egress = Egress::new(config).expect("TLS");
    egress.oneshot(Request::get(url).body(Bytes::new()).expect("request")).await
}

async fn refusal(config: EgressConfig, url: &str) -> EgressErrorKind {
    let error = get(config, url).await.expect_err(url);
    let mut chain = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        chain.push_str(&error.to_string());
        cause = error.source();
    }
    assert!(!chain.contains("s3cret"), "{chain}");
    error.kind()
}

#[tokio::test]
async fn a_response_comes_whole_and_with_its_headers() {
    let server =
        Server::new("HTTP/1.1 200 OK\r\nX-Kept: yes\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok").await;
    let response = get(config(), &server.url()).await.expect("response");
    assert_eq!((response.status(), response.body().as_ref()), (StatusCode::OK, b"ok".as_slice()));
    assert_eq!(response.headers()["x-kept"], "yes");
    assert_eq!(response.headers()["cache-control"], "max-age=60");
}

#[tokio::test]
async fn a_request_says_who_asks_and_asks_for_no_compression() {
    let server = Server::new("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nraw").await;
    let response = get(config(), &server.url()).await.expect("response");
    assert_eq!(response.body().as_ref(), b"raw");
    let request = &server.requests()[0];
    assert!(request.contains(concat!("\r\nuser-agent: portcullis/", env!("CARGO_PKG_VERSION"), "\r\n")), "{request}");
    assert!(request.contains("\r\naccept-encoding: identity\r\n"), "{request}");
}

/// `{"a":1}`.
const GZIP: &str = "1f8b0800000000000203ab564a54b232ac0500afac1b5607000000";
/// The same with the format of zlib, which the content coding is called after.
const DEFLATE: &str = "789cab564a54b232ac0500082a0209";

fn coded(status: u16, coding: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Status\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("text"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}

#[tokio::test]
async fn a_body_that_is_compressed_all_the_same_is_decoded() {
    for (coding, hex) in [("gzip", GZIP), ("deflate", DEFLATE)] {
        for status in [200, 401] {
            let server = Server::new(coded(status, coding, &bytes_of(hex))).await;
            let response = get(config(), &server.url()).await.expect("response");
            assert_eq!(
                (response.status().as_u16(), response.body().as_ref()),
                (status, &br#"{"a":1}"#[..]),
                "{coding}"
            );
            let headers = response.headers();
            assert!(!headers.contains_key("content-encoding") && !headers.contains_key("content-length"), "{coding}");
        }
    }
    let empty = get(config(), &Server::new(coded(429, "gzip", b"")).await.url()).await.expect("response");
    assert_eq!((empty.status().as_u16(), empty.body().len()), (429, 0));
    let broken = Server::new(coded(200, "gzip", b"no gzip")).await;
    assert_eq!(refusal(config(), &broken.url()).await, EgressErrorKind::Transport);
    let unknown = Server::new(coded(200, "br", b"brotli")).await;
    let response = get(config(), &unknown.url()).await.expect("response");
    assert_eq!(
        (response.headers()["content-encoding"].as_bytes(), response.body().as_ref()),
        (&b"br"[..], &b"brotli"[..])
    );
}

#[tokio::test]
async fn the_limit_of_a_body_applies_after_decoding() {
    // 100,000 zeros in 132 bytes.
    let begin = "1f8b0800000000000203edc13101000000c2a0f54f6d0d0fa0";
    let bomb = format!("{begin}{}8057037d9511d4a0860100", "0".repeat(264 - begin.len() - 22));
    let bomb = coded(200, "gzip", &bytes_of(&bomb));
    let response = get(config(), &Server::new(bomb.clone()).await.url()).await.expect("response");
    assert_eq!(response.body().len(), 100_000);
    let limited = config().with_max_body(99_999);
    assert_eq!(refusal(limited, &Server::new(bomb).await.url()).await, EgressErrorKind::BodyTooLarge);
}

#[tokio::test]
async fn cookies_are_not_kept() {
    let server = Server::start(b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\n\r\n".to_vec(), false).await;
    let egress = Egress::new(config()).expect("TLS");
    for _ in 0..2 {
        let request = Request::get(server.url()).body(Bytes::new()).expect("request");
        egress.clone().oneshot(request).await.expect("response");
    }
    assert_eq!(server.requests().len(), 2);
    assert!(server.requests().iter().all(|request| !request.contains("cookie")));
}

#[tokio::test]
async fn a_redirect_is_returned_and_not_followed() {
    let elsewhere = Server::new("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let answer = format!("HTTP/1.1 {status}\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", elsewhere.url());
        let server = Server::new(answer).await;
        let response = get(config(), &server.url()).await.expect("response");
        assert!(response.status().is_redirection(), "{status}");
        assert_eq!(response.headers()["location"], elsewhere.url());
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_body_is_read_up_to_the_limit() {
    let config = || config().with_max_body(8);
    let announced = |n: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {n}\r\n\r\n{}", "x".repeat(n.min(9)));
    let chunked = |n: usize| {
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", "4\r\nxxxx\r\n".repeat(n / 4))
    };
    for fits in [announced(8), chunked(8)] {
        let response = get(config(), &Server::new(fits).await.url()).await.expect("response");
        assert_eq!(response.body().as_ref(), b"xxxxxxxx");
    }
    let until_close = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(9));
    for too_large in [announced(9), announced(1 << 40), chunked(12), until_close] {
        let kind = refusal(config(), &Server::new(too_large).await.url()).await;
        assert_eq!(kind, EgressErrorKind::BodyTooLarge);
    }
}

#[tokio::test]
async fn a_request_may_lower_the_limit_and_not_raise_it() {
    let announced = |n: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {n}\r\n\r\n{}", "x".repeat(n));
    let get = async |limit: usize, body: usize| {
        let url = Server::new(announced(body)).await.url();
        let request = Request::get(url).extension(MaxBody::new(limit)).body(Bytes::new()).expect("request");
        Egress::new(config().with_max_body(8)).expect("TLS").oneshot(request).await.map_err(|error| error.kind())
    };
    assert_eq!(get(4, 4).await.expect("it fits").body().as_ref(), b"xxxx");
    assert_eq!(get(4, 5).await.expect_err("its own limit"), EgressErrorKind::BodyTooLarge);
    assert_eq!(get(16, 9).await.expect_err("the limit of all"), EgressErrorKind::BodyTooLarge);
}

#[tokio::test]
async fn an_endless_body_is_given_up_at_the_limit_and_not_at_the_end() {
    let endless = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", "4\r\nxxxx\r\n".repeat(3));
    let kind = refusal(config().with_max_body(8), &Server::new(endless).await.url()).await;
    assert_eq!(kind, EgressErrorKind::BodyTooLarge);
}

#[tokio::test]
async fn an_announced_length_over_the_limit_is_enough() {
    let config = config().with_max_body(8).with_timeout(Duration::from_secs(3));
    let withheld = Server::new("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").await;
    assert_eq!(refusal(config, &withheld.url()).await, EgressErrorKind::BodyTooLarge);
}

#[tokio::test]
async fn the_time_limit_covers_the_head_and_the_body() {
    let config = || config().with_timeout(Duration::from_millis(200));
    let slow_body = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx";
    for answer in ["", slow_body] {
        let server = Server::new(answer).await;
        assert_eq!(refusal(config(), &server.url()).await, EgressErrorKind::Timeout, "{answer:?}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_told_from_one_that_was_never_made() {
    let broken = Server::start(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".to_vec(), false).await;
    assert_eq!(refusal(config(), &broken.url()).await, EgressErrorKind::Transport);
    assert_eq!(broken.requests().len(), 1, "it is not tried again");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/?s3cret", listener.local_addr().expect("bound"));
    drop(listener);
    assert_eq!(refusal(config(), &url).await, EgressErrorKind::Connect);
}

#[tokio::test]
async fn loopback_is_not_reached_by_address_nor_by_name_unless_allowed() {
    let server = Server::new("HTTP/1.1 204 No Content\r\n\r\n").await;
    for scheme in ["http", "https"] {
        for host in ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"] {
            let url = format!("{scheme}://{host}:{}/?s3cret", server.port);
            assert_eq!(refusal(EgressConfig::new(), &url).await, EgressErrorKind::Blocked, "{url}");
        }
    }
    assert!(server.requests().is_empty());

    let url = format!("http://localhost:{}/", server.port);
    assert_eq!(get(config(), &url).await.expect("allowed").status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_url_that_is_none_is_blocked() {
    for url in ["/path", "idp.example.com:443", "ftp://idp.example.com/?s3cret", "https://user@idp.example.com/"] {
        assert_eq!(refusal(config(), url).await, EgressErrorKind::Blocked, "{url}");
    }
}

#[tokio::test]
async fn a_proxy_in_the_environment_is_ignored() {
    const INSIDE: &str = "PORTCULLIS_TEST_URL";
    if let Ok(url) = std::env::var(INSIDE) {
        assert_eq!(get(config(), &url).await.expect("direct").status(), StatusCode::NO_CONTENT);
        return;
    }
    let server = Server::new("HTTP/1.1 204 No Content\r\n\r\n").await;
    let proxy = Server::new("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let mut again = Command::new(std::env::current_exe().expect("this test"));
    again.args(["--exact", "a_proxy_in_the_environment_is_ignored"]).env(INSIDE, server.url());
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"] {
        again.env(name, proxy.url());
    }
    let output = tokio::task::spawn_blocking(move || again.output()).await.expect("no panic").expect("ran");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(proxy.requests().is_empty());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_of_ones_own_has_the_time_limit_too() {
    let hangs = tower::service_fn(|_: Request<Bytes>| std::future::pending::<Result<_, EgressError>>());
    let request = Request::get("https://idp.example.com/").body(Bytes::new()).expect("request");
    let start = tokio::time::Instant::now();
    let error = Egress::from_service(hangs).oneshot(request).await.expect_err("time-out");
    assert_eq!(error.kind(), EgressErrorKind::Timeout);
    assert_eq!(start.elapsed(), Duration::from_secs(10));
}

#[tokio::test]
async fn an_egress_error_of_ones_own_is_kept_and_another_is_a_transport_error() {
    let own = tower::service_fn(async |request: Request<Bytes>| {
        Err::<Response<Bytes>, _>(EgressError::new(EgressErrorKind::Connect, request.uri()))
    });
    let foreign =
        tower::service_fn(async |_: Request<Bytes>| Err::<Response<Bytes>, _>(std::io::Error::other("cable")));
    let request = || Request::get("https://idp.example.com/").body(Bytes::new()).expect("request");
    let error = Egress::from_service(own).oneshot(request()).await.expect_err("own");
    assert_eq!(error.kind(), EgressErrorKind::Connect);
    let error = Egress::from_service(foreign).oneshot(request()).await.expect_err("foreign");
    assert_eq!(error.kind(), EgressErrorKind::Transport);
    assert_eq!(std::error::Error::source(&error).map(ToString::to_string).as_deref(), Some("cable"));
}

#[tokio::test]
async fn a_check_comes_before_each_request_and_may_refuse_it_or_add_to_it() {
    let egress = Egress::new(config()).expect("TLS").with_check(|request| {
        if request.uri().path() == "/secret" {
            return Err(EgressError::new(EgressErrorKind::Blocked, request.uri()));
        }
        request.extensions_mut().insert(MaxBody::new(4));
        Ok(())
    });
    let server = Server::new("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nxxxxx").await;
    let kind = async |path: &str| {
        let url = format!("http://127.0.0.1:{}{path}", server.port);
        let request = Request::get(url).body(Bytes::new()).expect("request");
        egress.clone().oneshot(request).await.expect_err("refused").kind()
    };
    assert_eq!(kind("/secret").await, EgressErrorKind::Blocked);
    assert!(server.requests().is_empty());
    assert_eq!(kind("/").await, EgressErrorKind::BodyTooLarge);
}
