//! Guessed credentials: failures are limited by client and address, successful requests are not.

use std::time::Duration;

use http::{Request, StatusCode};
use portcullis_bridge::RegistrationPolicy;
use portcullis_test_support::{Answer, OAuthClient};
use serde_json::json;
use tokio::time::{advance, sleep};

use crate::fixture::{API, APP, Fixture, REDIRECT_URI, SERVER, SERVER_SECRET};

const HERE: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.1";

/// Returns the response to an unknown refresh token.
async fn refresh(client: &OAuthClient, address: &str) -> Answer {
    client.refresh("pcrt_unknown").with_header("x-forwarded-for", address).await.expect("a response")
}

#[tokio::test(start_paused = true)]
async fn guessing_a_secret_is_rate_limited_by_address() {
    let fixture = Fixture::new();
    let server = fixture.client().await.with_client_id(SERVER);
    let guesses = |n: usize| server.clone().with_secret(&format!("guess-{n}"));
    for n in 0..10 {
        let answer = refresh(&guesses(n), HERE).await;
        assert_eq!((answer.status(), answer.error()), (StatusCode::UNAUTHORIZED, Some("invalid_client")), "{n}");
    }
    let answer = refresh(&guesses(10), HERE).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = answer.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");

    let right = server.clone().with_secret(SERVER_SECRET);
    assert_eq!(
        refresh(&right, HERE).await.status(),
        StatusCode::TOO_MANY_REQUESTS,
        "not even the right one is looked at"
    );
    assert_eq!(refresh(&right, ELSEWHERE).await.error(), Some("invalid_grant"), "the client itself is not locked out");
    let app = fixture.client().await.with_client_id(APP);
    assert_eq!(refresh(&app, HERE).await.error(), Some("invalid_grant"), "nor are its neighbours");

    sleep(Duration::from_secs(wait)).await;
    assert_eq!(refresh(&right, HERE).await.error(), Some("invalid_grant"), "and after a while it is let in there too");
}

#[tokio::test(start_paused = true)]
async fn wrong_secrets_for_a_client_that_has_none_do_not_keep_it_out() {
    let fixture = Fixture::new();
    let app = fixture.client().await.with_client_id(APP);
    let liar = app.clone().with_secret_in_body("a client without a secret has none");
    for _ in 0..20 {
        refresh(&liar, HERE).await;
    }
    assert_eq!(refresh(&liar, HERE).await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        refresh(&app, HERE).await.error(),
        Some("invalid_grant"),
        "its users behind the same address are let in"
    );
}

#[tokio::test(start_paused = true)]
async fn failed_authentications_count_across_endpoints() {
    let fixture = Fixture::new();
    let server = fixture.client().await.with_client_id(SERVER).with_secret_in_body("a guess");
    for _ in 0..5 {
        refresh(&server, HERE).await;
        server.revoke("a").with_header("x-forwarded-for", HERE).await.expect("a response");
    }
    for call in [server.refresh("a"), server.revoke("a")] {
        let answer = call.with_header("x-forwarded-for", HERE).await.expect("a response");
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    }
}

#[tokio::test(start_paused = true)]
async fn guessing_the_secret_of_a_resource_server_is_rate_limited() {
    let fixture = Fixture::new();
    let api = fixture.client().await.with_client_id(API);
    let introspect = async |secret: &str, address: &str| {
        let call = api.clone().with_secret(secret).introspect("pcat_unknown");
        call.with_header("x-forwarded-for", address).await.expect("a response").status()
    };
    for _ in 0..10 {
        assert_eq!(introspect("a guess", HERE).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(introspect("a guess", HERE).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(introspect(SERVER_SECRET, HERE).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(introspect(SERVER_SECRET, ELSEWHERE).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn successful_authentications_are_not_limited_by_address() {
    let fixture = Fixture::new();
    let server = fixture.client().await.with_client_id(SERVER).with_secret(SERVER_SECRET);
    for _ in 0..1000 {
        let answer = server.revoke("pcat_unknown").with_header("x-forwarded-for", HERE).await.expect("a response");
        assert_eq!(answer.status(), StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_refresh_tokens_are_limited_by_client() {
    let fixture = Fixture::new();
    let app = fixture.client().await;
    let server = app.clone().with_client_id(SERVER).with_secret(SERVER_SECRET);
    for n in 0..1000 {
        assert_eq!(refresh(&app, HERE).await.error(), Some("invalid_grant"), "{n}");
    }
    assert_eq!(refresh(&app, HERE).await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refresh(&app, ELSEWHERE).await.error(), Some("invalid_grant"));
    assert_eq!(refresh(&server, HERE).await.error(), Some("invalid_grant"));
    advance(Duration::from_secs(1)).await;
    assert_eq!(refresh(&app, HERE).await.error(), Some("invalid_grant"));
}

#[tokio::test(start_paused = true)]
async fn guessing_an_initial_access_token_is_rate_limited() {
    let policy = RegistrationPolicy::new().with_initial_access_token(&"let-me-register".into());
    let fixture = Fixture::with(|config| config.with_registration(policy));
    let register = async |token: &str, address: &str| {
        let request = Request::post("/register")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"))
            .header("x-forwarded-for", address)
            .body(json!({"redirect_uris": [REDIRECT_URI]}).to_string().into());
        fixture.send(request.expect("a request")).await.status()
    };
    for _ in 0..10 {
        assert_eq!(register("a guess", HERE).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(register("let-me-register", HERE).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(register("let-me-register", ELSEWHERE).await, StatusCode::CREATED);
}
