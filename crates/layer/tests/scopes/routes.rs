//! Scopes per route: `RequireScopeLayer`.

use http::Request;
use http_body_util::Empty;
use portcullis_layer::{
    Auth,
    scope::{RequireScopeLayer, ScopeHierarchy},
};
use portcullis_testkit::StrictService;
use tower::ServiceExt as _;
use tower_layer::Layer as _;

use super::support::{Outcome, config, echo, post, scopes};

async fn ask(layer: RequireScopeLayer, token: &str) -> Outcome {
    let inner = StrictService::new(echo);
    let gate = Auth::new(layer.layer(inner.clone()), config());
    let response = gate.oneshot(post(token, "hello")).await.expect("response");
    Outcome::of(response, inner.calls()).await
}

#[tokio::test]
async fn rs_18_a_route_answers_403_with_the_challenge_of_the_gate() {
    let layer = RequireScopeLayer::new(scopes("write"));
    ask(layer.clone(), "read").await.assert_forbidden("write");
    let passed = ask(layer, "read~write").await;
    passed.assert_passed();
    assert_eq!(passed.body, "hello");
}

#[tokio::test]
async fn rs_19_the_challenge_names_what_the_route_needs_and_not_what_the_token_has_besides() {
    ask(RequireScopeLayer::new(scopes("write")), "read~admin").await.assert_forbidden("write");
}

#[tokio::test]
async fn rs_20_all_scopes_of_a_route_are_in_one_challenge() {
    ask(RequireScopeLayer::new(scopes("read write audit")), "read").await.assert_forbidden("read write audit");
}

#[tokio::test]
async fn rs_23_a_broad_scope_opens_a_route() {
    let hierarchy =
        ScopeHierarchy::new().with_implication("admin", scopes("write")).with_implication("write", scopes("read"));
    let layer = RequireScopeLayer::new(scopes("read")).with_hierarchy(hierarchy);
    ask(layer.clone(), "admin").await.assert_passed();
    ask(layer, "other").await.assert_forbidden("read");
}

#[tokio::test]
async fn without_a_user_a_route_answers_500_and_is_not_called() {
    let inner = StrictService::new(echo);
    let route = RequireScopeLayer::new(scopes("")).layer(inner.clone());
    let response = route.oneshot(post("read", "hello")).await.expect("response");
    let outcome = Outcome::of(response, inner.calls()).await;
    assert_eq!((outcome.status, outcome.calls), (500, 0));
}

#[tokio::test]
async fn without_a_gate_a_refusal_is_a_refusal_still() {
    let inner = StrictService::new(echo);
    let mut request = post("read", "hello");
    let user = portcullis_core::UserContext::builder(
        portcullis_core::Issuer::new("https://idp.example.com").expect("issuer"),
        "alice",
    );
    request.extensions_mut().insert(std::sync::Arc::new(user.build()));
    let route = RequireScopeLayer::new(scopes("write")).layer(inner.clone());
    let outcome = Outcome::of(route.oneshot(request).await.expect("response"), inner.calls()).await;
    assert_eq!((outcome.status, outcome.calls, outcome.body.len()), (403, 0, 0));
}

#[tokio::test]
async fn tr_12_a_preflight_passes_a_route_as_it_passes_the_gate() {
    let inner = StrictService::new(echo);
    let gate = Auth::new(RequireScopeLayer::new(scopes("write")).layer(inner.clone()), config());
    let preflight = Request::options("/mcp")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST")
        .body(Empty::<bytes::Bytes>::new())
        .expect("request");
    Outcome::of(gate.clone().oneshot(preflight).await.expect("response"), inner.calls()).await.assert_passed();

    let plain = Request::options("/mcp").header("authorization", "Bearer read");
    let plain = plain.body(Empty::<bytes::Bytes>::new()).expect("request");
    let outcome = Outcome::of(gate.oneshot(plain).await.expect("response"), 0).await;
    outcome.assert_forbidden("write");
    assert_eq!(inner.calls(), 1);
}
