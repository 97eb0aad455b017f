//! The user of a request is determined by its token only.

use std::{convert::Infallible, future::ready, sync::Arc};

use http::{HeaderValue, Method, Request, Response, StatusCode};
use portcullis_core::{AuthError, BearerToken, Issuer, Principal, PrincipalKind, ScopeSet, UserContext, VerifyToken};
use portcullis_layer::{
    Auth, AuthConfig,
    scope::{OperationPolicy, RequestBody, ToolScopesLayer},
};
use portcullis_testkit::StrictService;
use tower::{Layer as _, Service, ServiceExt as _};

use super::support::{Body, Verifier, config, metadata, request, text, whoami};

fn in_session(method: &str, token: &str, session: &HeaderValue) -> Request<Body> {
    let mut request = request(method, token);
    request.headers_mut().insert("mcp-session-id", session.clone());
    request
}

/// Returns the id of the session that the client of `token` gets.
async fn open<A, B>(auth: &A, token: &str) -> HeaderValue
where
    A: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
{
    let opened = auth.clone().oneshot(request("POST", token)).await.expect("response");
    assert_eq!(opened.status(), 200);
    opened.headers()["mcp-session-id"].clone()
}

/// A server with one session.
async fn one_session(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    let mut response = Response::new(Body::default());
    response.headers_mut().insert("mcp-session-id", "1".parse().expect("value"));
    Ok(response)
}

/// Verifies tokens of the form `issuer.subject`, or `issuer.subject.client` for a client that acts for itself.
fn by_issuer() -> impl VerifyToken<Future: Send> + Clone {
    tower::service_fn(|token: BearerToken| {
        let parts: Vec<_> = token.expose_secret().split('.').collect();
        let issuer = Issuer::new(&format!("https://{}.example", parts[0])).expect("issuer");
        let kind = if parts.len() > 2 { PrincipalKind::Client } else { PrincipalKind::User };
        ready(Ok::<_, AuthError>(Arc::new(UserContext::builder(issuer, parts[1]).with_kind(kind).build())))
    })
}

#[tokio::test]
async fn rs_24_every_request_of_a_known_session_is_verified() {
    let strict = StrictService::new(one_session);
    let auth = Auth::new(strict.clone(), config(&Verifier::new()));
    let session = open(&auth, "alice").await;
    for (method, token) in [("POST", ""), ("POST", "junk"), ("GET", ""), ("GET", "junk"), ("DELETE", ""), ("HEAD", "")]
    {
        let response = auth.clone().oneshot(in_session(method, token, &session)).await.expect("response");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method} {token}");
    }
    assert_eq!(strict.calls(), 1, "none of them got in");
}

#[tokio::test]
async fn rs_25_the_principal_is_a_key_for_handles_that_no_two_callers_share() {
    let told = tower::service_fn(async |request: Request<Body>| {
        let user = request.extensions().get::<Arc<UserContext>>().expect("verified");
        let mut response = Response::new(Body::default());
        response.extensions_mut().insert(user.principal().clone());
        Ok::<_, Infallible>(response)
    });
    let auth = Auth::new(told, AuthConfig::new(metadata(), by_issuer()));
    let principal = async |token: &str| {
        let response = auth.clone().oneshot(request("POST", token)).await.expect("response");
        response.extensions().get::<Principal>().expect("told").clone()
    };
    let alice = principal("one.alice").await;
    assert_eq!(alice, principal("one.alice").await, "the same over requests");
    for other in ["two.alice", "one.bob", "one.alice.client"] {
        assert_ne!(alice, principal(other).await, "{other}");
    }
}

#[tokio::test]
async fn rs_26_a_session_id_is_no_credential() {
    let auth = Auth::new(tower::service_fn(one_session), config(&Verifier::new()));
    let session = open(&auth, "alice").await;
    for method in ["POST", "GET", "DELETE"] {
        let response = auth.clone().oneshot(in_session(method, "", &session)).await.expect("response");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method}");
    }
}

#[tokio::test]
async fn rs_27_a_session_is_bound_to_issuer_and_subject_of_the_token_that_opened_it() {
    let auth = Auth::new(tower::service_fn(one_session), AuthConfig::new(metadata(), by_issuer()));
    let session = open(&auth, "one.alice").await;
    for other in ["two.alice", "one.bob", "one.alice.client"] {
        let response = auth.clone().oneshot(in_session("POST", other, &session)).await.expect("response");
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{other}");
    }
    assert_eq!(auth.oneshot(in_session("POST", "one.alice", &session)).await.expect("response").status(), 200);
}

#[tokio::test]
async fn rs_30_access_is_decided_for_each_primitive_and_what_one_user_got_is_not_for_the_next() {
    let policy = OperationPolicy::new().with_tool("report", ScopeSet::parse("reports").expect("scope"));
    let cacheable = tower::service_fn(async |_: Request<RequestBody<Body>>| {
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"cacheScope":"public","ttlMs":60000}}"#;
        Ok::<_, Infallible>(Response::new(Body::from(answer)))
    });
    let auth = Auth::new(ToolScopesLayer::new(policy).layer(cacheable), config(&Verifier::new()));
    let call = |token: &str| {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"report"}}"#;
        auth.clone().oneshot(request("POST", token).map(|_| Body::from(body)))
    };
    assert_eq!(call("alice.c.reports").await.expect("response").status(), 200);
    assert_eq!(call("bob.c.other").await.expect("response").status(), 403, "whatever the answer to alice says");
    let got = auth.clone().oneshot(request("GET", "alice")).await.expect("response");
    assert_eq!(got.headers()["cache-control"], "private");
}

#[tokio::test]
async fn rs_31_the_user_is_that_of_the_request_and_not_of_the_connection() {
    // A connection is one instance of a service, which is called repeatedly.
    let mut connection = Auth::new(StrictService::new(whoami::<Body>), config(&Verifier::new()));
    for name in ["alice", "bob", "alice"] {
        let response = connection.ready().await.expect("ready").call(request("POST", name)).await.expect("response");
        assert_eq!(text(response).await.1, name);
    }
    let response = connection.ready().await.expect("ready").call(request("POST", "")).await.expect("response");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn tr_03_every_request_is_verified_by_its_own_token() {
    let verifier = Verifier::new();
    let auth = Auth::new(tower::service_fn(one_session), config(&verifier));
    let session = open(&auth, "alice").await;
    assert_eq!(verifier.calls(), 1);
    let mut requests: Vec<_> = ["POST", "GET", "DELETE"].map(|method| in_session(method, "alice", &session)).into();
    let mut resumed = in_session("GET", "alice", &session);
    resumed.headers_mut().insert("last-event-id", "7".parse().expect("value"));
    requests.insert(2, resumed);
    for (count, request) in (2..).zip(requests) {
        assert_eq!(auth.clone().oneshot(request).await.expect("response").status(), 200);
        assert_eq!(verifier.calls(), count);
    }
}

#[tokio::test]
async fn tr_11_a_notification_needs_a_token_like_any_request_and_its_answer_stays_empty() {
    let accepting = tower::service_fn(async |_: Request<Body>| {
        let mut response = Response::new(Body::default());
        *response.status_mut() = StatusCode::ACCEPTED;
        Ok::<_, Infallible>(response)
    });
    let auth = Auth::new(accepting, config(&Verifier::new()));
    let notify = |token: &str| {
        let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        auth.clone().oneshot(request(Method::POST.as_str(), token).map(|_| Body::from(body)))
    };
    assert_eq!(notify("").await.expect("response").status(), StatusCode::UNAUTHORIZED);
    assert_eq!(text(notify("alice").await.expect("response")).await, (StatusCode::ACCEPTED, String::new()));
}

#[tokio::test]
async fn tr_17_the_inner_service_can_print_its_request_without_printing_a_token() {
    let printed = tower::service_fn(async |request: Request<Body>| {
        Ok::<_, Infallible>(Response::new(Body::from(format!("{request:?} {:?}", request.extensions()))))
    });
    let config = config(&Verifier::new()).with_open_path("/open");
    let auth = Auth::new(printed, config);
    let mut open = request("GET", "planted-token");
    *open.uri_mut() = "/open".parse().expect("URI");
    let mut preflight = request("OPTIONS", "planted-token");
    for (name, value) in [("origin", "https://app.example"), ("access-control-request-method", "POST")] {
        preflight.headers_mut().insert(name, value.parse().expect("value"));
    }
    // This verifier interprets the token as: alice, by the client `c`, with the scope `planted:token`.
    for request in [request("POST", "alice.c.planted-token"), open, preflight] {
        let (status, printed) = text(auth.clone().oneshot(request).await.expect("response")).await;
        assert_eq!(status, 200);
        assert!(!printed.contains("Bearer") && !printed.contains("authorization"), "{printed}");
        assert!(!printed.contains("planted-token"), "{printed}");
    }
}
