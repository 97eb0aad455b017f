//! Responses before the request body was read, and the next request on the connection.

use std::{convert::Infallible, fmt::Debug, time::Duration};

use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use portcullis_core::ScopeSet;
use portcullis_layer::{
    AuthLayer, RequireUpstreamLayer,
    drain::{DrainBody, DrainLayer},
    scope::{OperationPolicy, RequireScopeLayer, ToolScopesLayer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, split},
    time::{Instant, sleep},
};
use tower::{Layer as _, ServiceExt as _, service_fn, util::BoxCloneSyncService};

use super::support::{Verifier, config};

/// The delay between the head and the body of a request.
const LATER: Duration = Duration::from_millis(10);

type Answered = Result<Response<Full<Bytes>>, Infallible>;
type Service = BoxCloneSyncService<Request<Incoming>, Response<Full<Bytes>>, Infallible>;

/// A service that reads the body and returns its length.
async fn read<B: Body<Error: Debug>>(request: Request<B>) -> Answered {
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    Ok(Response::new(Full::new(Bytes::from(body.len().to_string()))))
}

/// Adapts `service` to complete bodies.
fn whole<S, C>(service: S) -> Service
where
    S: tower::Service<Request<Incoming>, Response = Response<C>, Error = Infallible, Future: Send>,
    S: Clone + Send + Sync + 'static,
    C: Body<Data = Bytes, Error: Debug> + Send + 'static,
{
    BoxCloneSyncService::new(service.and_then(async |response: Response<C>| {
        let (parts, body) = response.into_parts();
        Ok(Response::from_parts(parts, Full::new(body.collect().await.expect("a body").to_bytes())))
    }))
}

/// Applies the layer to `inner`.
fn gate<S, C>(inner: S) -> Service
where
    S: tower::Service<Request<Incoming>, Response = Response<C>, Error = Infallible, Future: Send>,
    S: Clone + Send + Sync + 'static,
    C: Body<Data = Bytes, Error: Debug> + Send + 'static,
{
    whole(AuthLayer::new(config(&Verifier::new())).layer(inner))
}

/// Opens a connection to a server with `service`, with hyper's default settings.
fn connect(service: Service) -> DuplexStream {
    let (client, server) = duplex(64 * 1024);
    let service = TowerToHyperService::new(service);
    tokio::spawn(async move {
        // The outcome is checked at the other end of the connection.
        drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service).await);
    });
    client
}

/// A response: the status, whether the connection is to be closed, and the body.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    closes: bool,
    body: String,
}

/// Reads one response.
async fn answer(connection: &mut (impl AsyncRead + Unpin)) -> Option<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    connection.read_exact(&mut body).await.ok()?;
    let closes = head.lines().any(|line| line == "connection: close");
    Some(Answer { status, closes, body: String::from_utf8(body).expect("text") })
}

fn head(method: &str, token: &str, more: &str) -> String {
    let authorization = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    format!("{method} /mcp HTTP/1.1\r\nhost: mcp.example.com\r\n{authorization}{more}\r\n")
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_after_its_head_does_not_break_the_next_request() {
    for (token, status, times) in [("", 401, 100), ("junk", 401, 20), ("down", 503, 20), ("a b", 400, 20)] {
        for size in [160, 100_000] {
            let mut failures = 0;
            for _ in 0..times {
                let mut connection = connect(gate(service_fn(read)));
                let post = head("POST", token, &format!("content-length: {size}\r\n"));
                connection.write_all(post.as_bytes()).await.expect("the head is sent");
                sleep(LATER).await;
                let is_sent = connection.write_all(&vec![b' '; size]).await.is_ok();
                let first = answer(&mut connection).await;
                let is_sent = is_sent && connection.write_all(head("GET", "alice", "").as_bytes()).await.is_ok();
                let second = answer(&mut connection).await;
                let first = first.map(|first| (first.status.as_u16(), first.closes));
                let is_well = first == Some((status, false)) && second.is_some_and(|second| second.status == 200);
                failures += usize::from(!(is_sent && is_well));
            }
            assert_eq!(failures, 0, "of {times} with {size} bytes and token {token:?}");
        }
    }
}

/// Returns the responses to a request whose head has been sent and whose body follows [`LATER`], and to a second request on the
/// same connection.
async fn first_and_second(service: Service, request: &str, body: &[u8]) -> (Answer, Option<Answer>) {
    let mut connection = connect(service);
    connection.write_all(request.as_bytes()).await.expect("the head is sent");
    sleep(LATER).await;
    let (mut reading, mut writing) = split(&mut connection);
    let writing = async {
        // The server may have closed its end.
        drop(writing.write_all(body).await);
        drop(writing.write_all(head("GET", "alice", "").as_bytes()).await);
    };
    let reading = async {
        let first = answer(&mut reading).await.expect("a response");
        (first, answer(&mut reading).await)
    };
    tokio::join!(reading, writing).0
}

/// Every other response of this crate without reading the body: its origin, the service, the request, the status.
fn early() -> Vec<(&'static str, Service, String, u16)> {
    let scope = ScopeSet::new(["mcp:admin"]).expect("scopes");
    let demanding = AuthLayer::new(config(&Verifier::new()).with_required_scopes(scope.clone()));
    let tools = ToolScopesLayer::new(OperationPolicy::new().with_tool("whoami", scope.clone()));
    let required = RequireScopeLayer::new(scope);
    let read = || service_fn(read::<Incoming>);
    let not_found = service_fn(async |_: Request<DrainBody<Incoming>>| {
        let mut response = Response::new(Full::new(Bytes::new()));
        *response.status_mut() = StatusCode::NOT_FOUND;
        Ok::<_, Infallible>(response)
    });
    let half = service_fn(async |request: Request<DrainBody<Incoming>>| {
        drop(request.into_body().frame().await);
        let mut response = Response::new(Full::new(Bytes::new()));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        Ok::<_, Infallible>(response)
    });
    let behind = AuthLayer::new(config(&Verifier::new())).layer(service_fn(self::read::<DrainBody<Incoming>>));
    let post = |more: &str| head("POST", "alice", &format!("content-length: 100000\r\n{more}"));
    let metadata = post("").replace("/mcp", "/.well-known/oauth-protected-resource/mcp");
    vec![
        ("the metadata", gate(read()), metadata, 405),
        ("session binding", gate(read()), post("mcp-session-id: of-another\r\n"), 404),
        ("required scopes", whole(demanding.layer(read())), post(""), 403),
        ("RequireScope", gate(required.layer(read())), post(""), 403),
        ("RequireScope without a gate", whole(required.layer(read())), post(""), 500),
        ("RequireUpstream", gate(RequireUpstreamLayer::new().layer(read())), post(""), 503),
        ("RequireUpstream without a gate", whole(RequireUpstreamLayer::new().layer(read())), post(""), 500),
        ("ToolScopes", gate(tools.layer(service_fn(self::read))), post("content-encoding: gzip\r\n"), 400),
        (
            "the gate behind Drain",
            whole(DrainLayer::new().layer(behind)),
            head("POST", "", "content-length: 100000\r\n"),
            401,
        ),
        ("a router behind Drain", whole(DrainLayer::new().layer(not_found)), post(""), 404),
        ("a handler behind Drain that reads one frame", whole(DrainLayer::new().layer(half)), post(""), 413),
    ]
}

#[tokio::test(start_paused = true)]
async fn no_early_response_of_this_crate_breaks_the_next_request() {
    for (who, service, request, status) in early() {
        let (first, second) = first_and_second(service, &request, &[b' '; 100_000]).await;
        assert_eq!((first.status.as_u16(), first.closes), (status, false), "{who}");
        assert!(second.is_some(), "{who}: the next request is answered");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_too_large_to_drain_closes_the_connection_with_a_header() {
    for (who, service, request, status) in early() {
        let request = request.replace("content-length: 100000", "content-length: 10000000");
        let started = Instant::now();
        let (first, second) = first_and_second(service, &request, &vec![b' '; 10_000_000]).await;
        assert_eq!((first.status.as_u16(), first.closes), (status, true), "{who}");
        assert!(second.is_none(), "{who}");
        assert_eq!(started.elapsed(), LATER, "{who}: nothing is waited for");
    }
    // A body without a size hint is read up to the limit.
    let request = head("POST", "", "transfer-encoding: chunked\r\n");
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for (chunks, closes) in [(3, false), (4, false), (5, true)] {
        let body = chunk.repeat(chunks) + "0\r\n\r\n";
        let (first, second) = first_and_second(gate(service_fn(read)), &request, body.as_bytes()).await;
        assert_eq!((first.status.as_u16(), first.closes, second.is_some()), (401, closes, !closes), "{chunks} chunks");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_delays_the_response_by_a_second_at_most() {
    for (who, service, request, status) in early() {
        if who.contains("one frame") {
            continue; // It is the handler that waits.
        }
        let mut connection = connect(service);
        connection.write_all(request.as_bytes()).await.expect("the head is sent");
        let started = Instant::now();
        let (mut reading, mut writing) = split(&mut connection);
        let first = tokio::select! {
            first = answer(&mut reading) => first.expect("a response"),
            () = async { loop { sleep(LATER).await; drop(writing.write_all(b" ").await); } } => unreachable!(),
        };
        assert_eq!((first.status.as_u16(), first.closes), (status, true), "{who}");
        assert_eq!(started.elapsed(), Duration::from_secs(1), "{who}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_100_continue_is_answered_at_once() {
    for (who, service, request, status) in early() {
        if who.contains("one frame") {
            continue; // It asks for the body.
        }
        let request = request.replacen("\r\n", "\r\nexpect: 100-continue\r\n", 1);
        let mut connection = connect(service);
        let started = Instant::now();
        connection.write_all(request.as_bytes()).await.expect("the head is sent");
        let first = answer(&mut connection).await.expect("a response");
        assert_eq!((first.status.as_u16(), first.closes), (status, true), "{who}: no 100, and the connection ends");
        assert_eq!(started.elapsed(), Duration::ZERO, "{who}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_still_being_read_elsewhere_closes_the_connection() {
    let (keeping, mut kept) = tokio::sync::mpsc::unbounded_channel();
    let keeper = service_fn(move |request: Request<DrainBody<Incoming>>| {
        let keeping = keeping.clone();
        async move {
            keeping.send(request.into_body()).expect("the test keeps it");
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
        }
    });
    let mut connection = connect(whole(DrainLayer::new().layer(keeper)));
    let request = head("POST", "", "content-length: 160\r\n");
    connection.write_all(request.as_bytes()).await.expect("the head is sent");
    let first = answer(&mut connection).await.expect("a response");
    assert_eq!((first.status.as_u16(), first.closes), (200, true));
    connection.write_all(&[b' '; 160]).await.expect("the body is sent");
    let body = kept.recv().await.expect("a body").collect().await.expect("it can be read to its end");
    assert_eq!(body.to_bytes().len(), 160);
}

#[tokio::test(start_paused = true)]
async fn over_http_2_nothing_is_drained_and_no_connection_closed() {
    let requests = [("POST", 401), ("GET", 401)];
    for (method, status) in requests {
        let mut request = Request::builder().method(method).uri("/mcp").version(Version::HTTP_2);
        request = request.header("expect", "100-continue");
        // The body never arrives: waiting for it would take a second.
        let body = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let inner = service_fn(async |_: Request<_>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())));
        let started = Instant::now();
        let gate = AuthLayer::new(config(&Verifier::new())).layer(inner);
        let response = gate.oneshot(request.body(body).expect("a request")).await.expect("a response");
        assert_eq!(response.status().as_u16(), status);
        assert!(!response.headers().contains_key("connection"));
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_accepted_is_not_touched() {
    let mut connection = connect(gate(DrainLayer::new().layer(service_fn(read))));
    for size in [1, 300_000] {
        let post = head("POST", "alice", &format!("content-length: {size}\r\n"));
        connection.write_all(post.as_bytes()).await.expect("the head is sent");
        sleep(Duration::from_secs(5)).await;
        connection.write_all(&vec![b' '; size]).await.expect("the body is sent");
        let answer = answer(&mut connection).await.expect("a response");
        assert_eq!((answer.status.as_u16(), answer.closes, answer.body), (200, false, size.to_string()));
    }
}
