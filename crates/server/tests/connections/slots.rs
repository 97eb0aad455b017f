//! The limits on the number of connections, over real sockets.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use portcullis_server::connections::{Limits, RequestBody, accept, raise_descriptor_limit, serve};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_util::sync::CancellationToken;
use tower::service_fn;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

async fn start(limits: Limits) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let (address, closing) = (listener.local_addr().expect("bound"), CancellationToken::new());
    let service = |_| {
        service_fn(async |_: Request<RequestBody>| {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"here"))))
        })
    };
    tokio::spawn(serve(listener, limits, closing.clone(), service));
    (address, closing)
}

/// Opens a connection from an address of loopback.
async fn connect(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::from(from), 0).into()).expect("an address of loopback");
    socket.connect(to).await.expect("it listens")
}

/// Reports whether a request on `connection` is answered; the connection is closed afterwards.
async fn is_answered(mut connection: TcpStream) -> bool {
    let mut answer = String::new();
    let sent = connection.write_all(GET).await;
    let read = connection.read_to_string(&mut answer).await;
    sent.is_ok() && read.is_ok() && answer.ends_with("here")
}

#[tokio::test]
async fn one_address_cannot_use_the_connections_of_other_addresses() {
    raise_descriptor_limit();
    let (address, _) = start(Limits::default().with_max(400).with_max_per_address(Some(300))).await;
    let mut silent = Vec::new();
    for _ in 0..1_000 {
        silent.push(connect([127, 0, 0, 2], address).await);
    }
    let mut answered = 0;
    for _ in 0..100 {
        answered += usize::from(is_answered(connect([127, 0, 0, 1], address).await).await);
    }
    assert_eq!(answered, 100, "of 100 requests from another address");
    assert!(!is_answered(connect([127, 0, 0, 2], address).await).await);
    // The first 300 are open. The server has closed or reset the others.
    let mut closed = 0;
    for mut connection in silent.split_off(300) {
        closed += usize::from(connection.read(&mut [0]).await.is_ok_and(|read| read == 0));
    }
    assert_eq!(closed, 700);
    for connection in silent.drain(..) {
        assert!(is_answered(connection).await);
    }
    assert!(is_answered(connect([127, 0, 0, 2], address).await).await, "the closed connections free their slots");
}

#[tokio::test]
async fn at_the_total_limit_a_new_connection_waits_until_another_ends() {
    let (address, _) = start(Limits::default().with_max(10)).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(connect([127, 0, 0, 1], address).await);
    }
    let waiting = tokio::spawn(is_answered(connect([127, 0, 0, 1], address).await));
    // The tenth connection is served, and the eleventh waits until then.
    assert!(is_answered(silent.remove(9)).await);
    assert!(waiting.await.expect("it ends"), "a slot is free");
    let waiting = connect([127, 0, 0, 1], address).await;
    assert!(is_answered(silent.remove(0)).await && is_answered(waiting).await);
}

#[tokio::test]
async fn two_listeners_do_not_share_their_limits() {
    let (full, _) = start(Limits::default().with_max(10)).await;
    let (admin, _) = start(Limits::default().with_max(10)).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(connect([127, 0, 0, 1], full).await);
    }
    for _ in 0..100 {
        assert!(is_answered(connect([127, 0, 0, 1], admin).await).await);
    }
}

#[tokio::test]
async fn accepted_connections_do_not_wait_for_acknowledgements() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let _client = connect([127, 0, 0, 1], listener.local_addr().expect("bound")).await;
    let (accepted, _) = accept(&listener).await.expect("accepted");
    assert!(accepted.nodelay().expect("an option"));
}

#[tokio::test]
async fn a_stopping_server_accepts_no_connections_and_returns_after_the_last_one() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let (address, closing) = (listener.local_addr().expect("bound"), CancellationToken::new());
    let service =
        |_| service_fn(async |_: Request<RequestBody>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())));
    let serving = tokio::spawn(serve(listener, Limits::default(), closing.clone(), service));
    let mut connection = connect([127, 0, 0, 1], address).await;
    connection.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("open");
    connection.read_u8().await.expect("an answer");
    closing.cancel();
    serving.await.expect("it ends");
    assert!(TcpStream::connect(address).await.is_err());
}
