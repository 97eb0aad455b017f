//! The time-outs of silent and slow connections, which do not affect the requests of other connections.
//!
//! The tests run in paused time, over pipes in memory, so that times are exact and pass at once.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use portcullis_server::connections::{Limits, RequestBody, serve_connection};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::service_fn;

const HEAD: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(120);
const BODY: Duration = Duration::from_secs(60);
const WRITE: Duration = Duration::from_secs(45);
/// The additional time that closing a connection may take.
const CUT: Duration = Duration::from_secs(1);

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Responds to `POST` with the request body, to `/stream` with an event every 10 s, to `/flood` with more than a pipe holds.
async fn answer(request: Request<RequestBody>) -> Result<Response<Body>, Infallible> {
    let body = match request.uri().path() {
        "/stream" => {
            let events = events(Duration::from_secs(10), Bytes::from_static(b"data: x\n\n"));
            StreamBody::new(events).boxed_unsync()
        }
        "/flood" => Full::new(Bytes::from(vec![b' '; 1_000_000])).boxed_unsync(),
        _ if request.method() == "POST" => match request.into_body().collect().await {
            Ok(body) => Full::new(body.to_bytes()).boxed_unsync(),
            Err(_) => {
                let mut response = Response::new(Full::default().boxed_unsync());
                *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
                return Ok(response);
            }
        },
        _ => Full::default().boxed_unsync(),
    };
    Ok(Response::new(body))
}

fn events(every: Duration, event: Bytes) -> impl futures_core::Stream<Item = Result<Frame<Bytes>, Infallible>> {
    futures_util::stream::unfold((), move |()| {
        let event = event.clone();
        async move {
            sleep(every).await;
            Some((Ok(Frame::data(event)), ()))
        }
    })
}

fn limits() -> Limits {
    Limits::default().with_head_timeout(HEAD).with_idle_timeout(IDLE).with_body_timeout(BODY).with_write_timeout(WRITE)
}

/// Starts a task that serves a connection, and returns the client's end.
fn connect(tasks: &mut JoinSet<()>) -> DuplexStream {
    let (client, server) = duplex(16 * 1024);
    tasks.spawn(serve_connection(server, service_fn(answer), limits(), CancellationToken::new()));
    client
}

/// Sends `start`, then repeats `rest`, one byte per second, until the server closes the connection.
async fn drip(mut client: DuplexStream, start: Vec<u8>, rest: &'static [u8]) {
    client.write_all(&start).await.expect("the connection is new");
    let (mut reading, mut writing) = tokio::io::split(client);
    let writing = async {
        for byte in rest.iter().cycle() {
            sleep(Duration::from_secs(1)).await;
            if rest.is_empty() || writing.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    tokio::select! {
        read = reading.read_to_end(&mut answer) => drop(read),
        () = writing => {}
    }
}

/// A kind of client: what it sends at the start, what it repeats byte by byte, and the time until it is closed.
const KINDS: [(&str, &[u8], &[u8], Duration); 9] = [
    ("no byte", b"", b"", HEAD),
    ("half a head", b"GET / HTTP/1.1\r\nho", b"", HEAD),
    ("a head byte by byte", b"GET / HTTP/1.1\r\n", b"x: y\r\n", HEAD),
    ("half a preface", b"PRI * HTTP/2", b"", HEAD),
    ("a preface", PREFACE, b"", HEAD),
    ("a preface and its settings", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", b"", HEAD),
    ("no body", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n", b"", BODY),
    ("a body byte by byte", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n", b" ", BODY),
    ("a request and nothing more", GET, b"", IDLE),
];

#[tokio::test(start_paused = true)]
async fn a_hundred_silent_or_slow_connections_of_each_kind_are_closed() {
    for (kind, start, rest, limit) in KINDS {
        let (mut serving, mut clients, mut others) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        let begun = Instant::now();
        for _ in 0..100 {
            clients.spawn(drip(connect(&mut serving), start.to_vec(), rest));
        }
        // Each second, one request on a new connection and one on a connection that stays open.
        let mut persistent = connect(&mut others);
        let mut answered = 0;
        while begun.elapsed() + Duration::from_secs(1) < limit {
            sleep(Duration::from_secs(1)).await;
            for connection in [&mut persistent, &mut connect(&mut others)] {
                connection.write_all(GET).await.expect("open");
                let mut head = [0; 15];
                connection.read_exact(&mut head).await.expect("an answer");
                assert_eq!(&head, b"HTTP/1.1 200 OK", "{kind}");
                answered += 1;
                while connection.read_u8().await.expect("the head") != b'\n' || !ends(connection).await {}
            }
        }
        assert_eq!(answered, 2 * (limit.as_secs() - 1), "{kind}");
        assert_eq!(serving.len(), 100);
        let ended = timeout(limit + 2 * CUT - begun.elapsed(), async { while serving.join_next().await.is_some() {} });
        let all = ended.await;
        assert!(all.is_ok(), "{kind}: {} of 100 remain", serving.len());
        assert!(begun.elapsed() >= limit.min(HEAD), "{kind}: not before the limit");
    }
}

/// Reports whether the next line is the empty line after a head.
async fn ends(connection: &mut DuplexStream) -> bool {
    match connection.read_u8().await.expect("the head") {
        b'\r' => connection.read_u8().await.expect("the head") == b'\n',
        _ => false,
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_has_no_time_limit() {
    let mut serving = JoinSet::new();
    let mut client = connect(&mut serving);
    client.write_all(b"GET /stream HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("open");
    let begun = Instant::now();
    let mut events = 0;
    let mut line = Vec::new();
    while events < 360 {
        line.push(client.read_u8().await.expect("the connection is open"));
        if line.ends_with(b"data: x\n\n") {
            events += 1;
            line.clear();
        }
    }
    assert_eq!(begun.elapsed(), Duration::from_secs(3600), "an hour of events");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_closed() {
    let mut serving = JoinSet::new();
    let mut client = connect(&mut serving);
    client.write_all(b"GET /flood HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("open");
    let begun = Instant::now();
    serving.join_next().await.expect("one").expect("it ends");
    assert_eq!(begun.elapsed(), WRITE);
    // A client that reads slowly receives the whole response.
    let mut client = connect(&mut serving);
    client.write_all(b"GET /flood HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("open");
    let (mut received, mut buffer) = (0, [0; 10_000]);
    while received < 1_000_000 {
        sleep(WRITE / 2).await;
        let read = client.read(&mut buffer).await.expect("the connection is open");
        assert_ne!(read, 0, "after {received} bytes");
        received += read;
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_body_is_rejected_with_a_response_that_the_client_can_read() {
    let mut serving = JoinSet::new();
    let mut client = connect(&mut serving);
    client.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc").await.expect("open");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("text");
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_request_in_progress_is_finished_when_the_server_stops() {
    let (mut client, server) = duplex(16 * 1024);
    let closing = CancellationToken::new();
    let serving = tokio::spawn(serve_connection(server, service_fn(answer), limits(), closing.clone()));
    client.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\na").await.expect("open");
    sleep(Duration::from_secs(1)).await;
    closing.cancel();
    sleep(Duration::from_secs(20)).await;
    client.write_all(b"bc").await.expect("still open");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("text");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("abc"), "{answer}");
    serving.await.expect("it ends");
}
