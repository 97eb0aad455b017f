//! Which requests bear a token.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::noop_waker;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use portcullis_client::TokenLayer;
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit};
use tower_http::follow_redirect::FollowRedirect;

use crate::world::{World, post};

#[tokio::test(start_paused = true)]
async fn g12_a_token_is_attached_to_requests_to_the_resource_only() {
    let world = World::default();
    let mut client = world.client();
    for uri in [
        "https://mcp.example/mcp",
        "https://mcp.example:443/mcp/tools?x=y",
        "https://mcp.example/",
        "https://mcp.example/mcp2",
        "https://mcp.example/mcp/../admin",
        "https://evil.example/mcp",
        "https://mcp.example@evil.example/mcp",
        "http://mcp.example/mcp",
    ] {
        client.ready().await.unwrap().call(post(uri)).await.unwrap();
    }
    let none = "none".to_owned();
    assert_eq!(world.credentials()[..2], ["Bearer access-1", "Bearer access-1"]);
    assert_eq!(world.credentials()[2..], vec![none; 6]);
    assert!(world.state().requests[0].1.as_ref().unwrap().is_sensitive());
    assert_eq!(world.counts(), (1, 8, 0));
}

#[tokio::test(start_paused = true)]
async fn g12_two_resources_never_get_the_token_of_each_other() {
    let world = World::default();
    let inner = TokenLayer::new(world.manager_for("https://mcp.example/a")).layer(world.resource());
    let client = TokenLayer::new(world.manager_for("https://mcp.example/b")).layer(inner);
    client.clone().oneshot(post("https://mcp.example/a")).await.unwrap();
    client.clone().oneshot(post("https://mcp.example/b")).await.unwrap();
    client.oneshot(post("https://mcp.example/c")).await.unwrap();
    assert_eq!(world.credentials(), ["Bearer access-1", "Bearer access-2", "none"]);
}

#[tokio::test(start_paused = true)]
async fn g12_a_redirect_to_another_origin_loses_the_token() {
    let world = World::default();
    let resource = world.resource().map_request(|request: Request<Full<Bytes>>| request.map(|_| Bytes::new()));
    let request = || Request::post("https://mcp.example/mcp/redirect").body(Full::new(Bytes::new())).unwrap();
    let inside = FollowRedirect::new(TokenLayer::new(world.manager()).layer(resource.clone()));
    assert_eq!(inside.oneshot(request()).await.unwrap().status(), StatusCode::OK);
    let outside = TokenLayer::new(world.manager()).layer(FollowRedirect::new(resource));
    assert_eq!(outside.oneshot(request()).await.unwrap().status(), StatusCode::OK);
    assert_eq!(world.credentials(), ["Bearer access-1", "none", "Bearer access-2", "none"]);
}

#[tokio::test(start_paused = true)]
async fn credentials_of_the_caller_are_left_alone() {
    let world = World::default();
    let mut request = post("https://mcp.example/mcp");
    request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer mine"));
    let response = world.client().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!((world.credentials(), world.counts()), (vec!["Bearer mine".to_owned()], (0, 1, 0)));
}

#[tokio::test(start_paused = true)]
async fn cl_33_every_request_bears_the_token() {
    let world = World::default();
    for method in ["POST", "GET", "DELETE"] {
        let mut request = post("https://mcp.example/mcp");
        *request.method_mut() = method.parse().unwrap();
        let client = TokenLayer::new(world.manager()).layer(world.resource());
        assert_eq!(client.oneshot(request).await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(world.credentials(), ["Bearer access-1", "Bearer access-2", "Bearer access-3"]);
}

#[tokio::test(start_paused = true)]
async fn g17_readiness_is_that_of_the_inner_service() {
    let world = World::default();
    world.state().exchange_time = Duration::from_secs(10);
    let resource = world.resource();
    let mut client = TokenLayer::new(world.manager()).layer(resource.clone());
    let waiting = tokio::spawn(client.ready().await.unwrap().call(post("https://mcp.example/mcp")));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.counts(), (1, 0, 0), "an exchange is in progress");
    let waker = noop_waker();
    let cx = &mut Context::from_waker(&waker);
    let is_ready = |poll: Poll<Result<(), _>>| poll.is_ready();
    assert!(is_ready(Service::<Request<Bytes>>::poll_ready(&mut client, cx)));
    resource.set_ready(false);
    assert!(!is_ready(Service::<Request<Bytes>>::poll_ready(&mut client, cx)));
    resource.set_ready(true);
    assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn g17_a_request_that_waits_for_a_token_holds_no_capacity_of_the_inner_service() {
    let world = World::default();
    let limited = ConcurrencyLimit::new(world.resource(), 1);
    let client = TokenLayer::new(world.manager()).layer(limited);
    world.state().exchange_time = Duration::from_secs(10);
    // The first exchange is made before the request is sent, the second after its token was refused.
    for sent in [0, 2] {
        let waiting = tokio::spawn(client.clone().oneshot(post("https://mcp.example/mcp")));
        sleep(Duration::from_secs(1)).await;
        let elsewhere = timeout(Duration::from_secs(1), client.clone().oneshot(post("https://evil.example/")));
        assert_eq!(elsewhere.await.expect("the limit has room").unwrap().status(), StatusCode::OK, "{sent}");
        assert!(!waiting.is_finished());
        assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::OK);
        world.revoke_access_tokens();
    }
    assert_eq!(world.state().exchanges, 2);
}

#[tokio::test(start_paused = true)]
async fn g17_nothing_happens_before_the_future_is_polled() {
    let world = World::default();
    let mut client = world.client();
    drop(client.ready().await.unwrap().call(post("https://mcp.example/mcp")));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.counts(), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g17_clones_work_on_several_threads() {
    let world = World::default();
    let client = world.client();
    let calls: Vec<_> =
        (0..100).map(|_| tokio::spawn(client.clone().oneshot(post("https://mcp.example/mcp")))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    assert_eq!(world.counts(), (1, 100, 0));
}
