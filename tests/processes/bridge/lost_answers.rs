//! Answers that were sent and lost: the connection broke off.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use axum::body::Bytes;
use portcullis::{
    refresh::GrantStore,
    types::{Clock as _, SystemClock},
};
use portcullis_test_support::{Answer, Call, ClientError, Endpoint, LogCapture, OAuthClient, TestClock};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    fixture::World,
    invariants::session_of,
    retrying_client::{WHOAMI, tool},
};

/// Long enough for a slow machine.
const LIFE: Duration = Duration::from_secs(10_000);

/// Within the grace period, and after it.
const SOON: Duration = Duration::from_secs(110);
const TOO_LATE: Duration = Duration::from_secs(130);

/// A bridge in this process, behind a front that loses answers.
struct Place {
    world: World,
    clock: TestClock,
    vault: GrantStore,
    client: OAuthClient,
    server: JoinHandle<()>,
}

impl Place {
    async fn new() -> Self {
        let world = World::new(LIFE, Duration::ZERO).await;
        let clock = TestClock::starting_at(SystemClock::new().now());
        let site = world.site(Arc::new(clock.clone())).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        world.proxy.open(listener.local_addr().expect("an address").port());
        let server = tokio::spawn(async { axum::serve(listener, site.router).await.expect("it serves for ever") });
        let client = world.app().await.expect("metadata");
        Self { world, clock, vault: site.vault, client, server }
    }

    async fn log_in(&self) -> Answer {
        self.client.log_in(&mut self.world.browser(), "alice").await.expect("tokens")
    }

    /// The tokens of `call`, whose client does not get them.
    async fn lose(&self, call: Call) -> Value {
        let lost = self.world.proxy.loses_an_answer();
        let answer = call.await;
        assert!(matches!(answer, Err(ClientError::Network(_))), "{answer:?}");
        let body: Bytes = lost.await.expect("it was given");
        serde_json::from_slice(&body).expect("JSON")
    }

    async fn whoami(&self, access_token: &str) -> u16 {
        tool(&self.world.network, &self.world.proxy.url, WHOAMI, access_token).await.expect("an answer").0
    }

    async fn has_grant(&self, pair: &Answer) -> bool {
        self.vault.load(session_of(pair)).await.expect("the file can be read").is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn access_token(lost: &Value) -> &str {
    lost["access_token"].as_str().expect("tokens")
}

#[tokio::test]
async fn a_refresh_whose_answer_was_lost_is_repeated_and_gets_the_same_answer() {
    let place = Place::new().await;
    let log = LogCapture::of_this_thread();
    let first = place.log_in().await;
    let lost = place.lose(place.client.refresh(first.refresh_token())).await;
    place.clock.advance(SOON);
    let again = place.client.refresh(first.refresh_token()).await.expect("an answer");
    for name in ["access_token", "refresh_token"] {
        assert_eq!(lost[name].as_str().expect("tokens"), again.text(name));
    }
    assert_eq!(place.whoami(again.access_token()).await, 200);
    let next = place.client.refresh(again.refresh_token()).await.expect("an answer");
    for pair in [&first, &again, &next] {
        assert_eq!(place.whoami(pair.access_token()).await, 200);
    }
    let is_normal = |line: &String| line.contains("login completed") || line.contains("tokens issued");
    assert!(log.lines(" session").iter().all(is_normal), "the log has no sign of a copy: {}", log.text());
}

#[tokio::test]
async fn a_refresh_whose_answer_was_lost_is_repeated_too_late_and_the_log_says_why_the_session_ends() {
    let place = Place::new().await;
    let log = LogCapture::of_this_thread();
    let first = place.log_in().await;
    let lost = place.lose(place.client.refresh(first.refresh_token())).await;
    assert_eq!(place.whoami(access_token(&lost)).await, 200);
    place.clock.advance(TOO_LATE);
    let again = place.client.refresh(first.refresh_token()).await.expect("an answer");
    assert_eq!((again.status().as_u16(), again.error()), (400, Some("invalid_grant")));
    for access_token in [first.access_token(), access_token(&lost)] {
        assert_eq!(place.whoami(access_token).await, 401);
    }
    place.world.has_no_grants().await;
    assert_eq!(place.world.idp.calls(Endpoint::Revocation), 1, "the provider is told");
    let why = log.lines("presented again after the grace period");
    let [why] = &*why else { panic!("{why:?}") };
    assert!(why.contains("WARN") && why.contains(&session_of(&first).to_string()), "{why}");
    let end = log.lines("session ended");
    assert!(end.len() == 1 && end[0].contains("refresh_token_reused"), "{end:?}");
    assert!(log.lines("_").iter().all(|line| !line.contains(first.refresh_token())), "and names no token");
}

#[tokio::test]
async fn a_code_whose_answer_was_lost_is_redeemed_again_within_the_grace_period_and_not_later() {
    let place = Place::new().await;
    let log = LogCapture::of_this_thread();
    let mut browser = place.world.browser();
    let authorization = place.client.authorization().expect("an endpoint");
    let callback = browser.log_in(&authorization.url(), "alice").await.expect("an answer").left().expect("the client");
    let code = authorization.code(&callback).expect("a code");
    let lost = place.lose(place.client.redeem(&authorization, &code)).await;
    assert_eq!(place.whoami(access_token(&lost)).await, 200, "the tokens of a lost answer are valid");
    let again = place.client.redeem(&authorization, &code).await.expect("an answer");
    assert_eq!(again.access_token(), access_token(&lost), "and come again");

    place.clock.advance(TOO_LATE);
    let again = place.client.redeem(&authorization, &code).await.expect("an answer");
    assert_eq!((again.status().as_u16(), again.error()), (400, Some("invalid_grant")));
    assert_eq!(place.whoami(access_token(&lost)).await, 401, "and keeps them no longer than until it is noticed");
    assert_eq!(log.lines("authorization code reused").len(), 1);
    place.world.has_no_grants().await;
    assert_eq!(place.world.idp.calls(Endpoint::Revocation), 1, "the provider is told");

    let anew = place.client.log_in(&mut browser, "alice").await.expect("tokens");
    assert_eq!(place.whoami(anew.access_token()).await, 200);
    assert!(place.has_grant(&anew).await);
    assert_eq!(place.world.idp.calls(Endpoint::Authorization), 4, "two logins, each a page and a form");
}
