//! Fetches of client metadata documents over sockets: public addresses only, without redirects.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use portcullis_bridge::ClientMetadataDocumentPolicy;
use portcullis_egress::{Egress, EgressConfig};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::fixture::{Fixture, ISSUER, Outcome, metadata, nothing, with};

/// Starts a server on loopback that sends every request the same incomplete response.
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

    /// Creates a server with a valid document.
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

/// Returns a policy that accepts loopback.
fn local() -> ClientMetadataDocumentPolicy {
    ClientMetadataDocumentPolicy::new().with_loopback_allowed()
}

async fn outcome(policy: ClientMetadataDocumentPolicy, egress: EgressConfig, id: &str) -> Outcome {
    Fixture::with_egress(policy, Egress::new(egress).expect("TLS")).outcome(id).await
}

#[tokio::test]
async fn as_20_loopback_is_for_those_that_allow_it_twice() {
    let server = Server::good().await;
    let (open, closed) = (EgressConfig::new().with_loopback_allowed(), EgressConfig::new());
    assert_eq!(outcome(ClientMetadataDocumentPolicy::new(), open.clone(), &server.id()).await, Outcome::Refused);
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
async fn as_20_errors_do_not_reveal_internal_host_names() {
    let server = Server::good().await;
    let mut answers = Vec::new();
    for id in [
        // It resolves to a forbidden address.
        format!("https://localhost:{}/client.json", server.port),
        "https://10.0.0.1/client.json".to_owned(),
        // It does not resolve.
        "https://unresolvable.invalid/client.json".to_owned(),
    ] {
        answers.push(told(EgressConfig::new(), &id).await);
    }
    assert_eq!(answers[0], answers[2]);
    assert_eq!(answers[1], answers[2]);
}

/// Returns the responses of the token endpoint and of the authorization endpoint for the client `id`.
async fn told(egress: EgressConfig, id: &str) -> (StatusCode, Bytes, Vec<String>, StatusCode, Bytes) {
    let fixture = Fixture::with_egress(local(), Egress::new(egress).expect("TLS"));
    let client = fixture.client(id).await;
    let told = nothing(&client).await.expect("a response");
    let url = client.with_redirect_uri("http://127.0.0.1/cb").authorization().expect("an endpoint").url();
    let shown =
        fixture.network.send(Request::get(url).body(Bytes::new()).expect("a request")).await.expect("a response");
    let headers = |headers: &HeaderMap| headers.iter().map(|header| format!("{header:?}")).collect::<Vec<_>>();
    (told.status(), told.body().clone(), headers(told.headers()), shown.status(), shown.into_body())
}

#[tokio::test]
async fn as_20_what_is_at_an_address_that_has_no_document_is_not_told() {
    let open = || EgressConfig::new().with_loopback_allowed().with_timeout(Duration::from_millis(500));
    let closed = id(free_port().await);
    let nothing_listens = told(open(), &closed).await;
    assert_eq!(nothing_listens.0, 503);
    let blocked = told(EgressConfig::new(), &closed).await;
    assert_eq!(blocked, nothing_listens, "blocked");
    for (what, answer) in [
        ("times out", ""),
        ("stops half-way", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"),
        ("is no HTTP", "220 mail.example.test ESMTP\r\n"),
        ("is a page", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"),
        ("is not JSON", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n<html>"),
        ("is too large", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5121\r\n\r\n"),
        ("leads elsewhere", "HTTP/1.1 302 Found\r\nLocation: https://example.test/\r\nContent-Length: 0\r\n\r\n"),
        ("fails", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
        ("wants a login", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let server = Server::new(|_| answer.to_owned()).await;
        assert_eq!(told(open(), &server.id()).await, nothing_listens, "{what}");
        assert!(server.connections() > 0, "{what}");
    }
}

/// Returns an unused port.
async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// Returns the response to a registered client with the key set `jwks_uri`.
async fn told_of_keys(egress: EgressConfig, jwks_uri: &str) -> (StatusCode, Bytes) {
    let fixture = Fixture::with_egress(local(), Egress::new(egress).expect("TLS"));
    let signing = metadata("https://app.example.test/callback");
    let signing = with(&signing, "token_endpoint_auth_method", &json!("private_key_jwt"));
    let registered = fixture.register(&with(&signing, "jwks_uri", &json!(jwks_uri))).await;
    let id = registered.text("client_id");
    let jwt = fixture.idp.token(id).with_header("typ", "JWT").with_claim("iss", id).with_audience(ISSUER);
    let jwt = jwt.with_lifetime(Duration::from_mins(1)).jwt();
    let call = nothing(&fixture.client("").await).without_credentials();
    let call = call.with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let answer = call.with("client_assertion", &jwt).await.expect("a response");
    (answer.status(), answer.body().clone())
}

#[tokio::test]
async fn as_20_what_is_at_an_address_that_has_no_keys_is_not_told() {
    let open = || EgressConfig::new().with_loopback_allowed().with_timeout(Duration::from_millis(500));
    let keys = |port: u16| format!("http://127.0.0.1:{port}/keys");
    let port = free_port().await;
    let nothing_listens = told_of_keys(open(), &keys(port)).await;
    assert_eq!(nothing_listens.0, 503);
    assert_eq!(told_of_keys(EgressConfig::new(), &keys(port)).await, nothing_listens, "blocked");
    for (what, answer) in [
        ("times out", ""),
        ("is not JSON", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n<html>"),
        ("is no key set", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"),
        ("is not there", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        ("leads elsewhere", "HTTP/1.1 302 Found\r\nLocation: https://example.test/\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let server = Server::new(|_| answer.to_owned()).await;
        assert_eq!(told_of_keys(open(), &keys(server.port)).await, nothing_listens, "{what}");
        assert!(server.connections() > 0, "{what}");
    }
}

#[tokio::test]
async fn as_20_a_redirect_is_not_followed_not_even_to_a_good_document() {
    let target = Server::good().await;
    let location = target.id();
    let server =
        Server::new(|_| format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")).await;
    let open = EgressConfig::new().with_loopback_allowed();
    assert_eq!(outcome(local(), open, &server.id()).await, Outcome::Unavailable);
    assert_eq!((server.connections(), target.connections()), (1, 0));
}

#[tokio::test]
async fn as_20_no_more_is_read_than_a_document_may_have() {
    let open = || EgressConfig::new().with_loopback_allowed().with_timeout(Duration::from_secs(5));
    let announced = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5121\r\n\r\n";
    let endless = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        format!("400\r\n{}\r\n", " ".repeat(1024)).repeat(6)
    );
    for answer in [announced.to_owned(), endless] {
        // The rest never arrives.
        let server = Server::new(|_| answer).await;
        let id = server.id();
        let answered = tokio::time::timeout(Duration::from_secs(4), outcome(local(), open(), &id));
        assert_eq!(answered.await, Ok(Outcome::Unavailable));
    }
}

#[tokio::test]
async fn as_20_a_slow_host_is_given_up_on() {
    let hurried = EgressConfig::new().with_loopback_allowed().with_timeout(Duration::from_millis(200));
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"] {
        let server = Server::new(|_| answer.to_owned()).await;
        assert_eq!(outcome(local(), hurried.clone(), &server.id()).await, Outcome::Unavailable, "{answer}");
    }
}
