//! Which requests are repeated, with which token, and how often.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Response, StatusCode};
use portcullis_client::{AcquireError, ClientError, ReplayPolicy, TokenLayer};
use tokio::time::{sleep, timeout};
use tower::{Layer as _, ServiceExt as _};

use crate::world::{Lost, World, post};

const URI: &str = "https://mcp.example/mcp";

async fn status(world: &World, path: &str) -> StatusCode {
    world.client().oneshot(post(&format!("{URI}{path}"))).await.unwrap().status()
}

#[tokio::test(start_paused = true)]
async fn g13_a_request_is_repeated_once_with_its_body() {
    let world = World::default();
    let client = world.client();
    client.clone().oneshot(post(URI)).await.unwrap();
    world.revoke_access_tokens();
    let response = client.oneshot(post(URI)).await.unwrap();
    assert_eq!((response.status(), &response.body()[..]), (StatusCode::OK, &b"body"[..]));
    assert_eq!(world.credentials(), ["Bearer access-1", "Bearer access-1", "Bearer access-2"]);
    assert_eq!(world.counts(), (2, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn g13_a_second_refusal_is_passed_on() {
    let world = World::default();
    assert_eq!(status(&world, "/refused").await, StatusCode::UNAUTHORIZED);
    assert_eq!(world.credentials(), ["Bearer access-1", "Bearer access-2"]);
    assert_eq!(world.counts(), (2, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn g13_only_a_bearer_challenge_causes_a_replay() {
    for path in ["/basic", "/silent"] {
        let world = World::default();
        assert_eq!(status(&world, path).await, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(world.counts(), (1, 1, 0), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn g13_a_lost_connection_causes_no_replay() {
    let world = World::default();
    let lost = world.client().oneshot(post(&format!("{URI}/lost"))).await;
    assert!(matches!(lost, Err(ClientError::Service(Lost))));
    assert_eq!(world.counts(), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn g13_the_policy_says_what_is_repeated() {
    let world = World::default();
    let layer = TokenLayer::new(world.manager());
    let never = layer.clone().with_replay(ReplayPolicy::Never).layer(world.resource());
    let reads = layer.with_replay(ReplayPolicy::Custom(|request| request.method == "GET")).layer(world.resource());
    never.clone().oneshot(post(URI)).await.unwrap();
    for client in [&never, &reads] {
        // A new token that is refused at once is not replaced.
        sleep(Duration::from_mins(10)).await;
        world.revoke_access_tokens();
        assert_eq!(client.clone().oneshot(post(URI)).await.unwrap().status(), StatusCode::UNAUTHORIZED);
        assert_eq!(client.clone().oneshot(post(URI)).await.unwrap().status(), StatusCode::OK, "the next one");
    }
    sleep(Duration::from_mins(10)).await;
    world.revoke_access_tokens();
    let mut get = post(URI);
    *get.method_mut() = http::Method::GET;
    assert_eq!(reads.oneshot(get).await.unwrap().status(), StatusCode::OK);
    assert_eq!(world.counts(), (4, 7, 0));
}

#[tokio::test(start_paused = true)]
async fn g1_a_hundred_requests_with_a_refused_token_cause_one_exchange() {
    let world = World::default();
    let client = world.client();
    client.clone().oneshot(post(URI)).await.unwrap();
    world.revoke_access_tokens();
    world.state().response_time = Duration::from_millis(40);
    world.state().exchange_time = Duration::from_millis(1);
    let responses = join_all((0..100).map(|_| client.clone().oneshot(post(URI)))).await;
    assert!(responses.iter().all(|response| response.as_ref().is_ok_and(|response| response.status() == 200)));
    assert_eq!(world.counts(), (2, 201, 0));
}

#[tokio::test(start_paused = true)]
async fn g2_a_late_refusal_of_an_old_token_costs_no_exchange() {
    let world = World::default();
    let client = world.client();
    client.clone().oneshot(post(URI)).await.unwrap();
    world.revoke_access_tokens();
    world.state().response_time = Duration::from_secs(60);
    let late = tokio::spawn(client.clone().oneshot(post(URI)));
    sleep(Duration::from_secs(1)).await;
    world.state().response_time = Duration::ZERO;
    client.clone().oneshot(post(URI)).await.unwrap();
    assert_eq!(world.state().exchanges, 2);
    assert_eq!(late.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(world.counts(), (2, 5, 0));
}

#[tokio::test(start_paused = true)]
async fn g4_a_caller_that_goes_away_neither_cancels_nor_repeats_the_exchange() {
    let world = World::default();
    let client = world.client();
    client.clone().oneshot(post(URI)).await.unwrap();
    world.revoke_access_tokens();
    world.state().exchange_time = Duration::from_secs(2);
    let dropped = timeout(Duration::from_millis(200), client.clone().oneshot(post(URI))).await;
    assert!(dropped.is_err());
    let responses = join_all((0..10).map(|_| client.clone().oneshot(post(URI)))).await;
    assert!(responses.iter().all(|response| response.as_ref().is_ok_and(|response| response.status() == 200)));
    let (exchanges, _, reuses) = world.counts();
    assert_eq!((exchanges, reuses), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn g14_a_request_that_lacks_a_scope_gets_it_in_addition() {
    let world = World::default();
    let client = world.client();
    client.clone().oneshot(post(URI)).await.unwrap();
    assert_eq!(client.clone().oneshot(post(&format!("{URI}/admin"))).await.unwrap().status(), StatusCode::OK);
    assert_eq!(client.oneshot(post(&format!("{URI}/admin"))).await.unwrap().status(), StatusCode::OK);
    assert_eq!(world.credentials(), ["Bearer access-1", "Bearer access-1", "Bearer access-2", "Bearer access-2"]);
    assert_eq!(world.state().exchanges, 2);
}

#[tokio::test(start_paused = true)]
async fn cl_40_scopes_that_do_not_help_are_requested_once() {
    let world = World::default();
    let client = world.client();
    for _ in 0..3 {
        let outcome = client.clone().oneshot(post(&format!("{URI}/forbidden"))).await;
        assert!(is_forbidden(&outcome), "{outcome:?}");
    }
    assert_eq!(world.state().exchanges, 2, "one login and one step-up");
    assert!(world.state().requests.len() <= 4);
}

fn is_forbidden(outcome: &Result<Response<Bytes>, ClientError<Lost>>) -> bool {
    match outcome {
        Ok(response) => response.status() == StatusCode::FORBIDDEN,
        Err(error) => matches!(error, ClientError::Token(AcquireError::StepUpRequired { .. })),
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_before_the_login_is_sent_without_a_token() {
    let world = World::default();
    world.state().is_interactive = true;
    let manager = world.manager();
    let client = TokenLayer::new(manager.clone()).layer(world.resource());
    let refused = client.clone().oneshot(post(URI)).await;
    assert!(matches!(refused, Err(ClientError::Token(AcquireError::ReauthRequired(_)))), "{refused:?}");
    assert_eq!((world.credentials(), world.state().exchanges), (vec!["none".to_owned()], 0));
    manager.login(&portcullis_client::ScopeSet::default()).await.unwrap();
    assert_eq!(client.oneshot(post(URI)).await.unwrap().status(), StatusCode::OK);
}
