//! What a document is fetched from: public addresses, and nothing that leads elsewhere. Over real sockets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use portcullis_bridge::DocumentPolicy;
use portcullis_egress::{Egress, EgressConfig};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::world::{Outcome, World, nothing};

/// A server on loopback that gives every request the same answer, of which a part never comes.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn new(answer: impl FnOnce(u16) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let connections = Arc::<AtomicUsize>::default();
        let (count, answer) = (Arc::clone(&connections), answer(port));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let _ = socket.read(&mut request).await;
                    let _ = socket.write_all(answer.as_bytes()).await;
                    std::future::pending::<()>().await;
                });
            }
        });
        Self { port, connections }
    }

    /// One with a good document.
    async fn good() -> Self {
        Self::new(|port| ok(&document(port))).await
    }

    fn id(&self) -> String {
        id(self.port)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn id(port: u16) -> String {
    format!("http://127.0.0.1:{port}/client.json")
}

fn document(port: u16) -> String {
    format!(r#"{{"client_id":"{}","client_name":"App","redirect_uris":["http://127.0.0.1/cb"]}}"#, id(port))
}

fn ok(body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\r\n{body}")
}

/// Loopback as the operator of a demo has it.
fn local() -> DocumentPolicy {
    DocumentPolicy::new().with_allow_loopback(true)
}

async fn outcome(policy: DocumentPolicy, egress: EgressConfig, id: &str) -> Outcome {
    World::with_egress(policy, Egress::new(egress).expect("TLS")).outcome(id).await
}

#[tokio::test]
async fn as_20_loopback_is_for_those_that_allow_it_twice() {
    let server = Server::good().await;
    let (open, closed) = (EgressConfig::new().with_allow_loopback(true), EgressConfig::new());
    assert_eq!(outcome(DocumentPolicy::new(), open.clone(), &server.id()).await, Outcome::Refused);
    assert_eq!(outcome(local(), closed, &server.id()).await, Outcome::Unavailable);
    assert_eq!(server.connections(), 0);
    assert_eq!(outcome(local(), open, &server.id()).await, Outcome::Known);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn as_20_nothing_is_fetched_from_special_addresses_nor_from_names_that_lead_there() {
    let server = Server::good().await;
    for id in [
        "https://10.0.0.1/client.json".to_owned(),
        "https://192.168.1.1/client.json".to_owned(),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://[fd00::1]/client.json".to_owned(),
        "https://[::ffff:a00:1]/client.json".to_owned(),
        "https://100.64.0.1/client.json".to_owned(),
        "https://0.0.0.0/client.json".to_owned(),
        // The name resolves to loopback.
        format!("https://localhost:{}/client.json", server.port),
    ] {
        assert_eq!(outcome(local(), EgressConfig::new(), &id).await, Outcome::Unavailable, "{id}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn as_20_nobody_learns_which_names_there_are_inside() {
    let server = Server::good().await;
    let mut answers = Vec::new();
    for id in [
        // It resolves to what may not be asked.
        format!("https://localhost:{}/client.json", server.port),
        "https://10.0.0.1/client.json".to_owned(),
        // It does not resolve.
        "https://nobody.invalid/client.json".to_owned(),
    ] {
        let world = World::with_egress(local(), Egress::new(EgressConfig::new()).expect("TLS"));
        let client = world.client(&id).await;
        let told = nothing(&client).await.expect("an answer");
        let url = client.with_redirect_uri("http://127.0.0.1/cb").authorization().expect("an endpoint").url();
        let shown = Request::get(url).body(Bytes::new()).expect("a request");
        let shown = world.network.send(shown).await.expect("an answer");
        let headers = |headers: &HeaderMap| headers.iter().map(|header| format!("{header:?}")).collect::<Vec<_>>();
        answers.push((told.status(), told.body().clone(), headers(told.headers()), shown.status(), shown.into_body()));
    }
    assert_eq!(answers[0], answers[2]);
    assert_eq!(answers[1], answers[2]);
}

#[tokio::test]
async fn as_20_a_redirect_is_not_followed_not_even_to_a_good_document() {
    let target = Server::good().await;
    let location = target.id();
    let server =
        Server::new(|_| format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")).await;
    let open = EgressConfig::new().with_allow_loopback(true);
    assert_eq!(outcome(local(), open, &server.id()).await, Outcome::Refused);
    assert_eq!((server.connections(), target.connections()), (1, 0));
}

#[tokio::test]
async fn as_20_no_more_is_read_than_a_document_may_have() {
    let open = || EgressConfig::new().with_allow_loopback(true).with_timeout(Duration::from_secs(5));
    let announced = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5121\r\n\r\n";
    let endless = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        format!("400\r\n{}\r\n", " ".repeat(1024)).repeat(6)
    );
    for answer in [announced.to_owned(), endless] {
        // The rest never comes: whoever waited for it would say that nobody can tell.
        let server = Server::new(|_| answer).await;
        assert_eq!(outcome(local(), open(), &server.id()).await, Outcome::Refused);
    }
}

#[tokio::test]
async fn as_20_a_slow_host_is_given_up_on() {
    let hurried = EgressConfig::new().with_allow_loopback(true).with_timeout(Duration::from_millis(200));
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"] {
        let server = Server::new(|_| answer.to_owned()).await;
        assert_eq!(outcome(local(), hurried.clone(), &server.id()).await, Outcome::Unavailable, "{answer}");
    }
}
