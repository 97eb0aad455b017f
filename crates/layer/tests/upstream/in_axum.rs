//! axum: the extractor, `?`, and a stream whose grant ends.

use std::convert::Infallible;

use axum::{
    Router,
    body::{Body, Bytes},
    response::IntoResponse,
    routing::post,
};
use futures_util::{StreamExt as _, stream};
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use portcullis_core::{AuthError, Reason, ScopeSet};
use portcullis_layer::{
    AuthLayer,
    extract::{AuthRejection, UpstreamToken, User},
};
use tower::ServiceExt as _;

use super::support::{Answer, Grant, config, request};

fn app(grant: &Grant, route: axum::routing::MethodRouter) -> Router {
    Router::new().route("/mcp", route).layer(AuthLayer::new(config(grant.clone())))
}

async fn ask(app: Router) -> Answer {
    Answer::of(app.oneshot(request::<Body>("POST")).await.expect("response")).await
}

async fn extracted(token: UpstreamToken) -> String {
    token.expose_secret().to_owned()
}

#[tokio::test]
async fn a_handler_gets_a_fresh_token_as_an_argument() {
    ask(app(&Grant::default(), post(extracted))).await.assert_passed("token-0");
}

#[tokio::test]
async fn without_a_token_the_handler_does_not_run() {
    ask(app(&Grant::default().fails(Reason::GrantEnded), post(extracted))).await.assert_login_demanded();
    ask(app(&Grant::default().fails(Reason::StoreUnavailable), post(extracted))).await.assert_unavailable();
    let without_gate = Router::new().route("/mcp", post(extracted));
    assert_eq!(ask(without_gate).await.status, 500);
    let without_grant = Router::new().route("/mcp", post(extracted)).layer(AuthLayer::new(config(None)));
    ask(without_grant).await.assert_unavailable();
}

/// A provider that accepts `token-1` only.
async fn calendar(user: User) -> Result<String, AuthRejection> {
    let token = user.upstream().access_token().await?;
    assert_eq!(token.expose_secret(), "token-0");
    let token = user.upstream().rejected(&token).await?;
    Ok(token.expose_secret().to_owned())
}

#[tokio::test]
async fn a_token_that_the_provider_refused_is_reported_once_and_the_next_one_used() {
    ask(app(&Grant::default(), post(calendar))).await.assert_passed("token-1");
}

#[tokio::test]
async fn an_error_returned_by_a_handler_becomes_the_response_of_the_wire_table() {
    ask(app(&Grant::default().fails(Reason::GrantEnded), post(calendar))).await.assert_login_demanded();
    ask(app(&Grant::default().fails(Reason::ProviderTimeout), post(calendar))).await.assert_unavailable();

    let forbidden = async || -> Result<(), AuthRejection> {
        Err(AuthError::insufficient_scope(ScopeSet::parse("calendar:read calendar:write").expect("scopes")))?
    };
    let answer = ask(app(&Grant::default(), post(forbidden))).await;
    let challenge = ("insufficient_scope".to_owned(), Some("calendar:read calendar:write".to_owned()));
    assert_eq!((answer.status, answer.challenge), (403, Some(challenge)));
}

#[tokio::test]
async fn without_a_gate_a_refusal_is_a_refusal_still() {
    for (reason, status) in [(Reason::GrantEnded, 401), (Reason::StoreUnavailable, 503)] {
        let response = AuthRejection::from(AuthError::new(reason)).into_response();
        assert_eq!(response.extensions().get::<AuthError>().map(AuthError::reason), Some(reason));
        assert_eq!(Answer::of(response).await.status, status);
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_grant_and_the_next_request_is_a_401() {
    let grant = Grant::default();
    let events = async || {
        let events = stream::iter([Ok::<_, Infallible>(Bytes::from("data: begun\n\n"))]).chain(stream::pending());
        ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events))
    };
    let app = app(&grant, post(events));
    let mut body = app.clone().oneshot(request::<Body>("POST")).await.expect("response").into_body();
    let first = body.frame().await.expect("a frame").expect("no error").into_data().expect("data");
    assert_eq!(first, "data: begun\n\n");

    let ending = grant.clone();
    tokio::spawn(async move { ending.ends() });
    assert!(body.frame().await.is_none(), "it ends cleanly");
    ask(app).await.assert_login_demanded();
}

#[tokio::test]
async fn a_grant_that_ends_while_a_stream_is_made_is_a_401_and_no_empty_stream() {
    let grant = Grant::default();
    let ending = grant.clone();
    let events = async move || {
        ending.ends();
        ([(CONTENT_TYPE, "text/event-stream")], "data: an error within a stream\n\n")
    };
    ask(app(&grant, post(events))).await.assert_login_demanded();
}

#[tokio::test]
async fn an_answer_that_is_no_stream_arrives_whatever_has_become_of_the_grant() {
    let grant = Grant::default();
    let ending = grant.clone();
    let done = async move || {
        ending.ends();
        "done"
    };
    ask(app(&grant, post(done))).await.assert_passed("done");
}
