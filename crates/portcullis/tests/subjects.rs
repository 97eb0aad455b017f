//! The user of a token without `sub`.
#![cfg(feature = "verify")]

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use http::{Request, Response, StatusCode, Uri, header};
use portcullis::{
    AuthConfig, AuthError, AuthLayer, Issuer, ResourceUri,
    egress::Egress,
    oauth::{ClientAuthentication, introspection::IntrospectionPolicy, protected_resource::ProtectedResourceMetadata},
    verify::{Cache, CacheConfig, IntrospectionVerifier},
};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

const ISSUER: &str = "https://idp.example.test";
const RESOURCE: &str = "https://mcp.example.test/mcp";
const SESSION: &str = "mcp-session-id";

/// An introspection endpoint: a token is the list of additional members of the response, such as `username-alice.client_id-app`.
async fn introspection(request: Request<Bytes>) -> Result<Response<Bytes>, Infallible> {
    let form = String::from_utf8(request.body().to_vec()).expect("a form");
    let token = form.split('&').find_map(|field| field.strip_prefix("token=")).expect("a token");
    let members = token.split('.').filter_map(|member| member.split_once('-'));
    let members: String = members.map(|(name, value)| format!(r#","{name}":"{value}""#)).collect();
    let body = format!(r#"{{"active":true,"aud":"{RESOURCE}","exp":4000000000{members}}}"#);
    let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
    Ok(response.body(Bytes::from(body)).expect("a response"))
}

fn policy() -> IntrospectionPolicy {
    IntrospectionPolicy::new(Issuer::new(ISSUER).expect("issuer"), ResourceUri::new(RESOURCE).expect("resource"))
}

/// A server behind the layer that creates a session for each request without one.
fn server(
    policy: IntrospectionPolicy,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone {
    let client = ClientAuthentication::basic("gate", "secret".into());
    let egress = Egress::from_service(service_fn(introspection));
    let verifier = IntrospectionVerifier::new(policy, client, egress)
        .with_endpoint(Uri::from_static("https://idp.example.test/introspect"));
    let metadata = ProtectedResourceMetadata::new(
        ResourceUri::new(RESOURCE).expect("resource"),
        Issuer::new(ISSUER).expect("issuer"),
    );
    let config = AuthConfig::new(metadata, Cache::around(verifier, CacheConfig::new()));
    let sessions = service_fn(async |request: Request<Body>| {
        let mut response = Response::new(Body::empty());
        let session = request.headers().get(SESSION).cloned();
        response.headers_mut().insert(SESSION, session.unwrap_or_else(|| "1".parse().expect("a value")));
        Ok::<_, Infallible>(response)
    });
    AuthLayer::new(config).layer(sessions).map_response(|response: Response<_>| response.map(Body::new))
}

/// Sends a request with `token`, in the session `session` if there is one.
async fn send(
    server: &(impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone),
    token: &str,
    session: Option<&str>,
) -> Response<Body> {
    let mut request = Request::post("/mcp").header(header::AUTHORIZATION, format!("Bearer {token}"));
    if let Some(session) = session {
        request = request.header(SESSION, session);
    }
    let request = request.body(Body::from(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#)).expect("a request");
    server.clone().oneshot(request).await.expect("a response")
}

/// Opens a session with `token` and returns its id.
async fn open(
    server: &(impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone),
    token: &str,
) -> String {
    let response = send(server, token, None).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.headers()[SESSION].to_str().expect("text").to_owned()
}

/// Sends a request with `token`, in the session `session` if there is one. Returns the status, and the reason of a rejection.
async fn status(
    server: &(impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone),
    token: &str,
    session: Option<&str>,
) -> (StatusCode, &'static str) {
    let response = send(server, token, session).await;
    let reason = response.extensions().get::<AuthError>().map_or("", |error| error.reason().as_str());
    (response.status(), reason)
}

const REFUSED: (StatusCode, &str) = (StatusCode::UNAUTHORIZED, "no_subject");
const OK: (StatusCode, &str) = (StatusCode::OK, "");

#[tokio::test]
async fn users_of_one_client_who_are_named_by_username_only_are_refused_and_share_no_session() {
    let server = server(policy());
    let (alice, bob) = ("username-alice.client_id-app", "username-bob.client_id-app");
    let opened = status(&server, alice, None).await;
    let used = status(&server, bob, Some("1")).await;
    assert_eq!((opened, used), (REFUSED, REFUSED));
}

#[tokio::test]
async fn users_who_are_named_by_the_configured_member_are_two_principals_with_a_session_each() {
    let server = server(policy().with_subject_claim("username"));
    let (alice, bob) = ("username-alice.client_id-app", "username-bob.client_id-app");
    let session = open(&server, alice).await;
    assert_eq!(status(&server, bob, Some(&session)).await, (StatusCode::NOT_FOUND, ""));
    assert_eq!(status(&server, alice, Some(&session)).await, OK, "another token of the same user would do as well");
    assert_eq!(status(&server, "username-alice.client_id-app.jti-2", Some(&session)).await, OK);
    for token in ["client_id-app", "sub-alice.client_id-app", "username-.client_id-app", "sub-app.client_id-app"] {
        assert_eq!(status(&server, token, Some(&session)).await, REFUSED, "{token}: no other member stands in");
    }
}

#[tokio::test]
async fn a_client_without_subject_is_let_in_by_choice_only_and_shares_nothing_with_a_user_of_its_name() {
    let strict = server(policy());
    assert_eq!(status(&strict, "client_id-app", None).await, REFUSED);
    let server = server(policy().with_clients_without_subject());
    let session = open(&server, "client_id-app").await;
    assert_eq!(status(&server, "client_id-app.jti-2", Some(&session)).await, OK);
    for user in ["sub-app.client_id-other", "sub-app", "sub-app.username-app.client_id-app"] {
        assert_eq!(status(&server, user, Some(&session)).await, (StatusCode::NOT_FOUND, ""), "{user}");
    }
    for member in ["username-alice", "preferred_username-alice", "email-alice"] {
        assert_eq!(status(&server, &format!("{member}.client_id-app"), None).await, REFUSED, "{member}");
    }
}
