//! Connections of silent and slow clients, and responses before the request body has arrived.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use portcullis_server::connections::raise_descriptor_limit;
use portcullis_testkit::IdentityProvider;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};

use crate::process::Running;

/// Short time-outs, which a test can wait for.
const SHORT: &str = "[connections]\nhead_timeout = \"5s\"\nbody_timeout = \"5s\"\nidle_timeout = \"5s\"\n";

/// The kinds of silent clients: a name, and the bytes that the client sends at the start.
const KINDS: [(&str, &str); 4] = [
    ("no byte", ""),
    ("half a head", "POST /mcp HTTP/1.1\r\nhost: 127"),
    ("an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("half a body", "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\n{"),
];

/// Opens a connection from an address of loopback.
async fn connect(from: [u8; 4], server: &Running) -> TcpStream {
    let (host, port) = server.address();
    let to = SocketAddr::new(host.parse::<IpAddr>().expect("an address"), port);
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::from(from), 0).into()).expect("an address of loopback");
    socket.connect(to).await.expect("it listens")
}

async fn read_to_end(mut connection: TcpStream) {
    // The server may close or reset the connection.
    drop(connection.read_to_end(&mut Vec::new()).await);
}

#[tokio::test]
async fn a_thousand_silent_connections_of_each_kind_end_and_other_requests_are_answered() {
    raise_descriptor_limit();
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::spawn(running.url(), "", SHORT);
    server.wait_for("/readyz", 200).await;
    let token = provider.token("alice").with_audience(&server.url()).jwt();
    for (kind, text) in KINDS {
        let mut ends = JoinSet::new();
        for _ in 0..1_000 {
            let mut connection = connect([127, 0, 0, 2], &server).await;
            connection.write_all(text.as_bytes()).await.expect("the connection is new");
            ends.spawn(read_to_end(connection));
        }
        let (mut admin, mut mcp) = (0, 0);
        for _ in 0..20 {
            admin += usize::from(server.admin("/healthz").await.is_ok_and(|response| response.status() == 200));
            let call = server.call("echo", &json!({"message": "x"})).bearer_auth(&token).send();
            mcp += usize::from(call.await.is_ok_and(|response| response.status() == 200));
        }
        assert_eq!((admin, mcp), (20, 20), "{kind}: answered requests, of 20");
        let all = timeout(Duration::from_secs(30), async { while ends.join_next().await.is_some() {} }).await;
        assert!(all.is_ok(), "{kind}: {} of 1,000 remain", ends.len());
    }
}

#[tokio::test]
async fn the_admin_listener_answers_while_client_connections_are_at_their_limit() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::spawn(running.url(), "", "connections.max = 20");
    server.wait_for("/readyz", 200).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(connect([127, 0, 0, 2], &server).await);
    }
    let mut answered = 0;
    for _ in 0..100 {
        answered += usize::from(server.admin("/healthz").await.is_ok_and(|response| response.status() == 200));
    }
    assert_eq!(answered, 100);
}

#[tokio::test]
async fn a_client_that_sends_ten_megabytes_can_read_the_rejection() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::start(running.url(), "").await;
    let (host, port) = server.address();
    for (name, target, status) in [(host, "/mcp", "401"), ("evil.example", "/mcp", "403")] {
        let mut connection = connect([127, 0, 0, 1], &server).await;
        let head = format!("POST {target} HTTP/1.1\r\nhost: {name}:{port}\r\ncontent-length: 10000000\r\n\r\n");
        connection.write_all(head.as_bytes()).await.expect("the head is sent");
        connection.write_all(&vec![b' '; 10_000_000]).await.expect("the body is sent");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.expect("it can be read");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_can_be_reused_after_an_early_response() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let server = Running::start(running.url(), "").await;
    let (host, port) = server.address();
    let mut failures = Vec::new();
    for (name, target, status) in [
        (host, "/mcp", 401),
        ("evil.example", "/mcp", 403),
        (host, "/.well-known/oauth-protected-resource/mcp", 405),
        (host, "/elsewhere", 404),
    ] {
        let mut connection = connect([127, 0, 0, 1], &server).await;
        connection.set_nodelay(true).expect("an option");
        for round in 0..50 {
            for size in [160, 100_000] {
                let head = format!("POST {target} HTTP/1.1\r\nhost: {name}:{port}\r\ncontent-length: {size}\r\n\r\n");
                let sent = async {
                    connection.write_all(head.as_bytes()).await?;
                    // The server receives the head before the body.
                    tokio::task::yield_now().await;
                    connection.write_all(&vec![b' '; size]).await?;
                    let mut answer = Vec::new();
                    while !answer.ends_with(b"\r\n\r\n") {
                        answer.push(connection.read_u8().await?);
                    }
                    let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
                    let length =
                        answer.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
                    connection.read_exact(&mut vec![0; length.parse().expect("a number")]).await?;
                    Ok::<_, std::io::Error>(answer)
                };
                match sent.await {
                    Ok(answer) if answer.starts_with(&format!("http/1.1 {status} ")) => {}
                    other => failures.push(format!("{name}{target}, {size} bytes, round {round}: {other:?}")),
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} of 400: {:#?}", failures.len(), failures.first());
}
