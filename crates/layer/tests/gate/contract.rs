//! The contract of a tower service.

use std::{
    convert::Infallible,
    future,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::support::{Body, Verifier, config, request, text, whoami};
use http::{Request, Response, header::AUTHORIZATION};
use portcullis_core::{AuthError, Reason, UserContext};
use portcullis_layer::{Auth, AuthLayer};
use portcullis_testkit::StrictService;
use tower::{Layer as _, Service as _, ServiceExt as _};

#[tokio::test]
async fn the_service_that_was_readied_is_the_one_that_is_called() {
    let strict = StrictService::new(whoami::<Body>);
    let mut auth = Auth::new(strict.clone(), config(&Verifier::new()));
    for _ in 0..3 {
        let response = auth.ready().await.expect("ready").call(request("POST", "alice")).await.expect("response");
        assert_eq!(text(response).await.1, "alice");
    }
    assert_eq!(strict.calls(), 3);
}

#[tokio::test]
#[should_panic(expected = "called without being ready")]
async fn the_strict_service_detects_calls_of_an_instance_that_is_not_ready() {
    let mut auth = Auth::new(StrictService::new(whoami::<Body>), config(&Verifier::new()));
    let _ = auth.call(request("POST", "alice")).await;
}

#[tokio::test]
async fn readiness_is_that_of_the_inner_service() {
    let strict = StrictService::new(whoami::<Body>);
    let mut auth = Auth::new(strict.clone(), config(&Verifier::new()));
    strict.set_ready(false);
    let mut context = Context::from_waker(Waker::noop());
    let ready = <_ as tower_service::Service<Request<Body>>>::poll_ready(&mut auth, &mut context);
    assert!(ready.is_pending());
    strict.set_ready(true);
    let ready = <_ as tower_service::Service<Request<Body>>>::poll_ready(&mut auth, &mut context);
    assert!(matches!(ready, Poll::Ready(Ok(()))));
}

#[tokio::test]
async fn nothing_happens_before_the_future_is_polled() {
    let (strict, verifier) = (StrictService::new(whoami::<Body>), Verifier::new());
    let mut auth = Auth::new(strict.clone(), config(&verifier));
    let response = auth.ready().await.expect("ready").call(request("POST", "alice"));
    assert_eq!((strict.calls(), verifier.calls()), (0, 0));
    drop(response);
    assert_eq!((strict.calls(), verifier.calls()), (0, 0));
}

#[tokio::test]
async fn tr_05_dropping_the_response_future_drops_the_inner_one() {
    let strict = StrictService::new(|_: Request<Body>| future::pending::<Result<Response<Body>, Infallible>>());
    let mut auth = Auth::new(strict.clone(), config(&Verifier::new()));
    let mut response = Box::pin(auth.ready().await.expect("ready").call(request("POST", "alice")));
    let mut context = Context::from_waker(Waker::noop());
    assert!(response.as_mut().poll(&mut context).is_pending());
    assert_eq!((strict.calls(), strict.dropped()), (1, 0));
    drop(response);
    assert_eq!(strict.dropped(), 1);
}

#[tokio::test]
async fn an_error_of_the_inner_service_passes_unchanged() {
    let failing = tower::service_fn(|_: Request<Body>| future::ready(Err::<Response<Body>, _>("broken")));
    let auth = Auth::new(failing, config(&Verifier::new()));
    assert_eq!(auth.oneshot(request("POST", "alice")).await.expect_err("fails"), "broken");
}

#[tokio::test]
async fn rs_09_a_rejected_request_never_reaches_the_inner_service() {
    let strict = StrictService::new(whoami::<Body>);
    let auth = Auth::new(strict.clone(), config(&Verifier::new()));
    for token in ["", "junk", "down"] {
        let response = auth.clone().oneshot(request("POST", token)).await.expect("response");
        assert!(response.status().is_client_error() || response.status().is_server_error());
    }
    assert_eq!(strict.calls(), 0);
}

#[tokio::test]
async fn rs_15_the_authorization_header_goes_no_further() {
    let spy = tower::service_fn(|request: Request<Body>| {
        assert!(!request.headers().contains_key(AUTHORIZATION));
        assert!(request.extensions().get::<Arc<UserContext>>().is_some());
        whoami(request)
    });
    let auth = Auth::new(spy, config(&Verifier::new()));
    let response = auth.oneshot(request("POST", "alice")).await.expect("response");
    assert_eq!(text(response).await.1, "alice");
}

#[tokio::test]
async fn the_refusal_is_in_the_extensions_for_outer_layers() {
    let auth = Auth::new(tower::service_fn(whoami::<Body>), config(&Verifier::new()));
    let response = auth.oneshot(request("POST", "junk")).await.expect("response");
    let error = response.extensions().get::<AuthError>().expect("there");
    assert_eq!(error.reason(), Reason::BadSignature);
}

#[tokio::test]
async fn a_typed_error_of_a_handler_becomes_the_right_response() {
    let handler = tower::service_fn(|_: Request<Body>| {
        let mut response = Response::new(Body::from("internal words"));
        response.extensions_mut().insert(AuthError::new(Reason::Revoked));
        future::ready(Ok::<_, Infallible>(response))
    });
    let auth = Auth::new(handler, config(&Verifier::new()));
    let response = auth.oneshot(request("POST", "alice")).await.expect("response");
    assert_eq!(super::support::challenge(&response).param("error"), Some("invalid_token"));
    let (status, body) = text(response).await;
    assert_eq!(status, 401);
    assert!(!body.contains("internal words"), "{body}");
}

#[tokio::test]
async fn one_layer_in_front_of_two_services_is_one_gate() {
    let verifier = Verifier::new();
    let layer = AuthLayer::new(config(&verifier));
    for _ in 0..2 {
        let auth = layer.clone().layer(tower::service_fn(whoami::<Body>));
        assert_eq!(text(auth.oneshot(request("GET", "bob")).await.expect("response")).await.1, "bob");
    }
    assert_eq!(verifier.calls(), 2);
}

#[test]
fn the_future_is_send_and_has_a_name() {
    fn is_send<T: Send>(_: &T) {}
    type Inner = tower::util::BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;
    let inner: Inner = tower::util::BoxCloneSyncService::new(tower::service_fn(whoami::<Body>));
    let mut auth = Auth::new(inner, config(&Verifier::new()));
    let future: portcullis_layer::ResponseFuture<Inner, Verifier, Body> = auth.call(request("GET", ""));
    is_send(&future);
    is_send(&auth);
}
