//! The limit of sessions for each principal.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use http::{Method, Request, Response, StatusCode};
use portcullis_layer::{Auth, SessionBinding};
use tower::{Service, ServiceExt as _};

use super::support::{Body, Verifier, config, request};

/// Creates a session for every request without one.
fn sessions() -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone {
    let given = Arc::new(AtomicUsize::new(0));
    tower::service_fn(move |request: Request<Body>| {
        let mut response = Response::new(Body::default());
        if request.method() == Method::POST && !request.headers().contains_key("mcp-session-id") {
            let id = format!("session-{}", given.fetch_add(1, SeqCst));
            response.headers_mut().insert("mcp-session-id", id.parse().expect("value"));
        }
        std::future::ready(Ok::<_, Infallible>(response))
    })
}

/// An auth layer with a session binding, and its users.
struct Users<S>(Auth<S, Verifier>);

impl<S> Users<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    async fn open(&self, token: &str) -> String {
        let response = self.0.clone().oneshot(request("POST", token)).await.expect("response");
        response.headers()["mcp-session-id"].to_str().expect("text").to_owned()
    }

    async fn with(&self, method: &str, token: &str, session: &str) -> StatusCode {
        let mut request = request(method, token);
        request.headers_mut().insert("mcp-session-id", session.parse().expect("value"));
        self.0.clone().oneshot(request).await.expect("response").status()
    }

    /// Counts the `sessions` that the user may still use.
    async fn count(&self, token: &str, sessions: &[String]) -> usize {
        let mut count = 0;
        for session in sessions {
            count += usize::from(self.with("GET", token, session).await == StatusCode::OK);
        }
        count
    }
}

fn users(
    binding: SessionBinding,
) -> Users<impl Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone> {
    Users(Auth::new(sessions(), config(&Verifier::new()).with_session_binding(binding)))
}

#[tokio::test]
async fn tr_06_one_user_who_opens_more_sessions_than_fit_ends_none_of_another() {
    // Fewer than one user opens: without a limit for each user, the sessions of other users would end.
    let users = users(SessionBinding::new().with_capacity(150));
    let of_bob = users.open("bob").await;
    let mut of_alice = Vec::new();
    for _ in 0..1_000 {
        of_alice.push(users.open("alice").await);
    }
    assert_eq!(users.with("POST", "bob", &of_bob).await, StatusCode::OK);
    let share = SessionBinding::SESSIONS_PER_PRINCIPAL;
    assert_eq!(users.count("alice", &of_alice).await, share);
    assert_eq!(users.count("alice", &of_alice[of_alice.len() - share..]).await, share, "the newest ones");
}

#[tokio::test]
async fn the_share_is_of_the_user_whatever_clients_they_have() {
    let users = users(SessionBinding::new().with_capacity_per_principal(2));
    let (first, second) = (users.open("alice.phone").await, users.open("alice.laptop").await);
    let third = users.open("alice.laptop").await;
    assert_eq!(users.with("GET", "alice.phone", &first).await, StatusCode::NOT_FOUND);
    assert_eq!(users.count("alice.laptop", &[second, third]).await, 2);
}

#[tokio::test]
async fn the_session_unused_for_longest_makes_room() {
    let users = users(SessionBinding::new().with_capacity_per_principal(2));
    let (first, second) = (users.open("alice").await, users.open("alice").await);
    assert_eq!(users.with("POST", "alice", &first).await, StatusCode::OK);
    users.open("alice").await;
    assert_eq!(users.with("GET", "alice", &first).await, StatusCode::OK);
    assert_eq!(users.with("GET", "alice", &second).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_session_that_its_client_ended_takes_no_room() {
    let users = users(SessionBinding::new().with_capacity_per_principal(2));
    let (first, second) = (users.open("alice").await, users.open("alice").await);
    assert_eq!(users.with("DELETE", "alice", &second).await, StatusCode::OK);
    let third = users.open("alice").await;
    assert_eq!(users.count("alice", &[first, third]).await, 2);
}
