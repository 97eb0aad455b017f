//! Session ids are valid for the principal that they were issued to, in every process that has the keys.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use portcullis_core::{ResourceUri, UserContext};
use portcullis_layer::{Auth, AuthConfig, SessionBinding, danger};
use portcullis_oauth::protected_resource::ProtectedResourceMetadata;
use tower::{Service, ServiceExt as _};

use super::support::{Body, Verifier, config, metadata, request};

/// Creates the session `id` for each POST without a session, and responds with the session of the request.
fn server(
    id: &'static str,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone {
    tower::service_fn(async move |request: Request<Body>| {
        let user = request.extensions().get::<Arc<UserContext>>().expect("verified").subject().to_owned();
        let session = request.headers().get("mcp-session-id").cloned();
        let mut response = Response::new(Body::from(format!("{user} in {session:?}")));
        if session.is_none() && request.method() == Method::POST {
            response.headers_mut().insert("mcp-session-id", id.parse().expect("value"));
        }
        Ok::<_, Infallible>(response)
    })
}

/// A process with an auth layer in front of a server that gives every client the same session id.
struct Process<S>(Auth<S, Verifier>);

impl<S> Process<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    /// Returns the session id that the client of `token` gets.
    async fn open(&self, token: &str) -> String {
        let response = self.0.clone().oneshot(request("POST", token)).await.expect("response");
        response.headers()["mcp-session-id"].to_str().expect("text").to_owned()
    }

    /// Sends a request in `session`, and returns the status and the text of the response.
    async fn send(&self, method: &str, token: &str, session: &str) -> (StatusCode, String) {
        let response = self.0.clone().oneshot(in_session(method, token, session)).await.expect("response");
        let status = response.status();
        assert!(!response.headers().contains_key("www-authenticate"), "another login would not help");
        let body = response.into_body().collect().await.expect("body").to_bytes();
        (status, String::from_utf8(body.into()).expect("text"))
    }

    async fn status(&self, token: &str, session: &str) -> u16 {
        self.send("POST", token, session).await.0.as_u16()
    }
}

fn in_session(method: &str, token: &str, session: &str) -> Request<Body> {
    let mut request = request(method, token);
    request.headers_mut().insert("mcp-session-id", session.parse().expect("value"));
    request
}

type Server = tower::util::BoxCloneService<Request<Full<Bytes>>, Response<Full<Bytes>>, Infallible>;

fn process_of(id: &'static str, config: AuthConfig<Verifier>) -> Process<Server> {
    Process(Auth::new(Server::new(server(id)), config))
}

fn process(binding: SessionBinding) -> Process<Server> {
    process_of("7", config(&Verifier::new()).with_session_binding(binding))
}

fn keys(keys: &[u8]) -> SessionBinding {
    let keys: Vec<_> = keys.iter().map(|key| [*key; 32]).collect();
    SessionBinding::with_keys(&keys).expect("there is a key")
}

#[tokio::test]
async fn tr_06_a_session_is_valid_for_its_user_only() {
    let process = process(SessionBinding::new());
    let session = process.open("alice.client").await;
    for method in ["POST", "GET", "DELETE"] {
        for other in ["mallory.client", "alice.other", "alice"] {
            assert_eq!(process.send(method, other, &session).await.0, StatusCode::NOT_FOUND, "{method} {other}");
        }
        let (status, text) = process.send(method, "alice.client", &session).await;
        assert_eq!((status.as_u16(), &*text), (200, "alice in Some(\"7\")"), "the server sees its own id");
    }
}

#[tokio::test]
async fn tr_06_two_users_one_session_id_two_replicas() {
    let replicas = [process(keys(&[1])), process(keys(&[1]))];
    let alice = replicas[0].open("alice.client").await;
    let bob = replicas[1].open("bob.client").await;
    assert_ne!(alice, bob, "the server behind gave both the same id");
    for replica in &replicas {
        assert_eq!(replica.status("alice.client", &alice).await, 200);
        assert_eq!(replica.status("bob.client", &bob).await, 200);
        assert_eq!(replica.status("bob.client", &alice).await, 404);
        assert_eq!(replica.status("alice.client", &bob).await, 404);
    }
}

#[tokio::test]
async fn tr_06_a_session_survives_a_token_refresh_and_a_restart() {
    let session = process(keys(&[1])).open("alice.client.a").await;
    assert_eq!(process(keys(&[1])).status("alice.client.b", &session).await, 200);
}

#[tokio::test]
async fn tr_06_a_session_id_without_the_mac_of_its_sender_is_not_found() {
    let process = process(keys(&[1]));
    let session = process.open("alice").await;
    let mac = session.strip_prefix("7.").expect("the id of the server, a dot and the MAC");
    let last = if mac.ends_with('A') { "Q" } else { "A" };
    let changed = format!("7.{}{last}", &mac[..mac.len() - 1]);
    let repeated = format!("{session}.{mac}");
    for forged in [
        "7",
        "7.",
        "",
        ".",
        "guessed",
        mac,
        &format!(".{mac}"),
        &format!("8.{mac}"),
        &format!("7{mac}"),
        &format!("7:{mac}"),
        &format!("7.{mac}="),
        &format!("7.{mac}A"),
        &format!("7.{}", &mac[1..]),
        &changed,
        &repeated,
    ] {
        assert_eq!(process.status("alice", forged).await, 404, "{forged:?}");
    }
}

#[tokio::test]
async fn tr_06_parts_of_a_principal_do_not_run_into_each_other() {
    let process = process(keys(&[1]));
    let session = process.open("ab.c").await;
    for other in ["a.bc", "abc", "abc."] {
        assert_eq!(process.status(other, &session).await, 404, "{other}");
    }
    let session = process.open("abc").await;
    assert_eq!(process.status("abc.", &session).await, 404, "a client with an empty id is not no client");
}

#[tokio::test]
async fn tr_06_a_session_of_another_resource_is_not_found() {
    let session = process(keys(&[1])).open("alice").await;
    let resource = ResourceUri::new("https://mcp.example.com/other").expect("resource");
    let metadata = ProtectedResourceMetadata::new(resource, metadata().authorization_servers()[0].clone());
    let other = AuthConfig::new(metadata, Verifier::new()).with_session_binding(keys(&[1]));
    assert_eq!(process_of("7", other).status("alice", &session).await, 404);
}

#[tokio::test]
async fn tr_06_a_session_id_of_an_earlier_key_is_valid_while_the_key_is_listed() {
    let session = process(keys(&[1])).open("alice").await;
    assert_eq!(process(keys(&[2, 1])).status("alice", &session).await, 200);
    assert_eq!(process(keys(&[2])).status("alice", &session).await, 404);
    let new = process(keys(&[2, 1])).open("alice").await;
    assert_eq!(process(keys(&[2])).status("alice", &new).await, 200, "the first key signs");
    assert!(SessionBinding::with_keys([]).is_none());
    assert_eq!(process(SessionBinding::new()).status("alice", &new).await, 404, "a random key of the process");
}

#[tokio::test]
async fn tr_06_every_session_id_of_a_server_comes_back() {
    for id in ["", "a.b", ".", "0190-ABC", "!#$%&'*+-.^_`|~", "a b", "é"] {
        let process = process_of(id, config(&Verifier::new()));
        let request = request("POST", "alice");
        let bound = process.0.clone().oneshot(request).await.expect("response").headers()["mcp-session-id"].clone();
        let mut again = self::request("POST", "alice");
        again.headers_mut().insert("mcp-session-id", bound);
        let response = process.0.clone().oneshot(again).await.expect("response");
        let body = response.into_body().collect().await.expect("body").to_bytes();
        let expected = format!("alice in {:?}", Some(http::HeaderValue::from_str(id).expect("value")));
        assert_eq!(body, expected.as_bytes());
    }
}

#[tokio::test]
async fn tr_07_a_stream_is_resumed_by_its_own_principal_only() {
    let process = process(SessionBinding::new());
    let session = process.open("alice").await;
    let resume = |token| {
        let mut request = in_session("GET", token, &session);
        request.headers_mut().insert("last-event-id", "17".parse().expect("value"));
        process.0.clone().oneshot(request)
    };
    assert_eq!(resume("mallory").await.expect("response").status(), 404);
    assert_eq!(resume("alice").await.expect("response").status(), 200);
}

#[tokio::test]
async fn two_session_headers_are_rejected_as_ambiguous() {
    let process = process(SessionBinding::new());
    let session = process.open("alice").await;
    let mut twice = in_session("POST", "alice", &session);
    twice.headers_mut().append("mcp-session-id", session.parse().expect("value"));
    assert_eq!(process.0.oneshot(twice).await.expect("response").status(), 400);
}

#[tokio::test]
async fn tr_08_both_wires_pass_and_the_sessionless_one_carries_no_session() {
    let process = process(SessionBinding::new());
    for version in [None, Some("2025-03-26"), Some("2025-11-25"), Some("2026-07-28"), Some("2099-01-01")] {
        let mut request = request("POST", "alice");
        if let Some(version) = version {
            request.headers_mut().insert("mcp-protocol-version", version.parse().expect("value"));
        }
        assert_eq!(process.0.clone().oneshot(request).await.expect("response").status(), 200, "{version:?}");
    }
    let mut stray = in_session("POST", "mallory", "whatever");
    stray.headers_mut().insert("mcp-protocol-version", "2026-07-28".parse().expect("value"));
    let response = process.0.clone().oneshot(stray).await.expect("response");
    let body = response.into_body().collect().await.expect("body").to_bytes();
    assert_eq!(body, "mallory in None", "the header went no further");
}

#[tokio::test]
async fn sessions_can_be_unbound_by_danger_only() {
    let process = process_of("7", danger::without_session_binding(config(&Verifier::new())));
    assert_eq!(process.open("alice").await, "7");
    assert_eq!(process.status("mallory", "7").await, 200);
}
