//! The lifetime of cached client metadata documents, also while they cannot be fetched.

use portcullis_bridge::collections;
use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use portcullis_store::Store as _;
use portcullis_test_support::Browser;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    document_host::{CLIENT, REDIRECT_URI, document},
    fixture::{Fixture, Outcome, metadata, with},
};

const MINUTE: Duration = Duration::from_mins(1);
const MOVED: &str = "https://app.example.test/moved";

/// Returns the number of fetches within `time`, with a request every 30 seconds.
async fn calls_within(fixture: &Fixture, time: Duration) -> usize {
    let (start, before) = (Instant::now(), fixture.host.calls());
    while start.elapsed() < time {
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);
        sleep(MINUTE / 2).await;
    }
    fixture.host.calls() - before
}

#[tokio::test(start_paused = true)]
async fn as_16_a_document_is_kept_as_its_headers_say_within_bounds() {
    for (cache_control, calls) in [
        (None, 6),
        (Some("max-age=1200"), 3),
        (Some("public, max-age=600"), 6),
        (Some("max-age=1"), 60),
        (Some("no-store"), 60),
        (Some("max-age=31536000"), 1),
    ] {
        let fixture = Fixture::new();
        if let Some(value) = cache_control {
            fixture.host.with_header("cache-control", value);
        }
        assert_eq!(calls_within(&fixture, 60 * MINUTE).await, calls, "{cache_control:?}");
    }
    let fixture = Fixture::new();
    fixture.host.with_header("cache-control", "max-age=31536000");
    fixture.outcome(CLIENT).await;
    sleep(Duration::from_hours(24)).await;
    fixture.outcome(CLIENT).await;
    assert_eq!(fixture.host.calls(), 2, "a day is the most");
}

#[tokio::test(start_paused = true)]
async fn as_17_another_redirect_uri_counts_from_the_next_fetch_on() {
    let fixture = Fixture::new();
    assert!(fixture.sends_codes_to(CLIENT, REDIRECT_URI).await);
    fixture.host.says(&with(&document(), "redirect_uris", &json!([MOVED])));
    assert!(fixture.sends_codes_to(CLIENT, REDIRECT_URI).await);
    assert!(!fixture.sends_codes_to(CLIENT, MOVED).await);
    sleep(10 * MINUTE).await;
    assert!(!fixture.sends_codes_to(CLIENT, REDIRECT_URI).await, "it is asked before it is used");
    assert!(fixture.sends_codes_to(CLIENT, MOVED).await);
}

#[tokio::test(start_paused = true)]
async fn as_16_a_document_is_fetched_once_for_all_who_wait() {
    let fixture = Fixture::new();
    fixture.host.takes(Duration::from_secs(2));
    let outcomes = join_all((0..50).map(|_| fixture.outcome(CLIENT))).await;
    assert_eq!(outcomes, [Outcome::Known; 50]);
    assert_eq!(fixture.host.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn as_16_a_fetch_goes_on_when_those_who_wait_go_away() {
    let fixture = Fixture::new();
    fixture.host.takes(Duration::from_secs(2));
    for _ in 0..5 {
        let gone = tokio::time::timeout(Duration::from_millis(100), fixture.outcome(CLIENT)).await;
        assert!(gone.is_err());
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);
    assert_eq!(fixture.host.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn as_16_a_document_that_cannot_be_fetched_is_asked_for_once_in_a_while() {
    let fixture = Fixture::new();
    fixture.host.answers(403);
    let start = Instant::now();
    while start.elapsed() < Duration::from_mins(5) {
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Unavailable, "it cannot be determined");
        sleep(Duration::from_millis(200)).await;
    }
    assert!((8..=16).contains(&fixture.host.calls()), "{}", fixture.host.calls());
    fixture.host.answers(200);
    sleep(Duration::from_secs(40)).await;
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known, "errors are not kept");
}

#[tokio::test(start_paused = true)]
async fn as_16_an_invalid_document_is_not_kept_and_not_fetched_for_every_request() {
    let fixture = Fixture::new();
    fixture.host.sends("{}");
    for _ in 0..5 {
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Refused);
    }
    assert_eq!(fixture.host.calls(), 1);
    fixture.host.says(&document());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);
}

#[tokio::test(start_paused = true)]
async fn the_last_good_document_is_used_while_its_host_fails_and_no_longer_than_a_day() {
    for status in [403, 429, 500, 503] {
        let fixture = Fixture::new();
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);
        fixture.host.answers(status);
        sleep(Duration::from_hours(23)).await;
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known, "{status}");
        sleep(Duration::from_hours(1)).await;
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Unavailable, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_withdrawn_is_gone_with_the_next_fetch() {
    for status in [404, 410] {
        let fixture = Fixture::new();
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);
        fixture.host.answers(status);
        sleep(10 * MINUTE).await;
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Refused, "{status}");
        fixture.host.answers(503);
        sleep(MINUTE).await;
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Unavailable, "{status}: the old one is forgotten");
    }
    for (member, value) in [
        ("client_id", json!("https://other.example.test/x")),
        ("redirect_uris", json!([])),
        ("client_name", json!(null)),
    ] {
        let fixture = Fixture::new();
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);
        fixture.host.says(&with(&document(), member, &value));
        sleep(10 * MINUTE).await;
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Refused, "{member}");
    }
}

/// Responses of intermediaries: a bot check, a maintenance page, a login page.
fn intervene(fixture: &Fixture, how: &str) {
    match how {
        "a redirect" => {
            fixture.host.answers(302);
            fixture.host.with_header("location", "https://login.example.test/");
        }
        "a page" => {
            fixture.host.with_header("content-type", "text/html");
            fixture.host.sends("<html>Are you human?");
        }
        "a page that is called JSON" => fixture.host.sends("<html>Are you human?"),
        "half of it" => fixture.host.sends(document().to_string()[..20].to_owned()),
        _ => fixture.host.sends(" ".repeat(6000)),
    }
}

const INTERVENTIONS: [&str; 5] = ["a redirect", "a page", "a page that is called JSON", "half of it", "too much"];

#[tokio::test(start_paused = true)]
async fn a_response_that_is_no_document_keeps_the_cached_one() {
    for how in INTERVENTIONS {
        let fixture = Fixture::new();
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);
        intervene(&fixture, how);
        sleep(Duration::from_hours(23)).await;
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known, "{how}");
        assert!(fixture.sends_codes_to(CLIENT, REDIRECT_URI).await, "{how}");
        sleep(Duration::from_hours(1)).await;
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Unavailable, "{how}: not for more than a day");
        let fixture = Fixture::new();
        intervene(&fixture, how);
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Unavailable, "{how}: nothing was known");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_no_document_keeps_the_stored_one() {
    for how in INTERVENTIONS {
        let fixture = Fixture::new();
        log_in(&fixture).await;
        intervene(&fixture, how);
        sleep(10 * MINUTE).await;
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known, "{how}");
        assert_eq!(fixture.documents().await, 1, "{how}");
        let fixture = fixture.restarted(|config| config);
        assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known, "{how}: for another process as well");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_host_does_not_delay_a_known_client() {
    let fixture = Fixture::new();
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);
    fixture.host.takes(Duration::from_secs(60));
    sleep(10 * MINUTE).await;
    let start = Instant::now();
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);
    assert_eq!(start.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_slow_document_does_not_delay_other_clients() {
    let fixture = Fixture::new();
    let other = fixture.register(&metadata(REDIRECT_URI)).await.text("client_id").to_owned();
    fixture.host.takes(Duration::from_secs(5));
    let start = Instant::now();
    let (slow, ()) = tokio::join!(fixture.outcome(CLIENT), async {
        sleep(Duration::from_millis(1)).await;
        assert_eq!(fixture.outcome(&other).await, Outcome::Known);
        assert_eq!(fixture.register(&metadata(REDIRECT_URI)).await.status(), 201);
        assert_eq!(start.elapsed(), Duration::from_millis(1));
    });
    assert_eq!((slow, start.elapsed()), (Outcome::Known, Duration::from_secs(5)));
}

/// Logs a user in through the client.
async fn log_in(fixture: &Fixture) {
    let client = fixture.client(CLIENT).await.with_redirect_uri(REDIRECT_URI);
    let mut browser = Browser::new(fixture.network.clone());
    client.log_in(&mut browser, "alice").await.expect("a login");
}

#[tokio::test(start_paused = true)]
async fn the_last_good_document_outlives_the_process_once_the_client_was_given_tokens() {
    let fixture = Fixture::new();
    log_in(&fixture).await;
    assert_eq!(fixture.documents().await, 1);
    fixture.host.answers(503);
    let fixture = fixture.restarted(|config| config);
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);
    assert_eq!(fixture.host.calls(), 1, "it is still fresh");
    sleep(Duration::from_hours(23)).await;
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known);
    let fixture = fixture.restarted(|config| config);
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Known, "fetching it is in vain");
    sleep(Duration::from_hours(1)).await;
    let fixture = fixture.restarted(|config| config);
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_withdrawn_is_gone_from_the_store_as_well() {
    let fixture = Fixture::new();
    log_in(&fixture).await;
    sleep(10 * MINUTE).await;
    fixture.host.answers(404);
    assert_eq!(fixture.outcome(CLIENT).await, Outcome::Refused);
    assert_eq!(fixture.documents().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_document_is_stored_for_clients_with_tokens_and_once_an_hour() {
    let fixture = Fixture::new();
    for path in 0..20 {
        fixture.outcome(&format!("https://app.example.test/{path}")).await;
    }
    assert_eq!(fixture.documents().await, 0);
    fixture.host.with_header("cache-control", "max-age=60");
    let mut versions = BTreeSet::new();
    for _ in 0..12 {
        log_in(&fixture).await;
        let rows = fixture.rows.page(collections::DOCUMENTS, None, 2).await.expect("memory");
        versions.extend(rows.into_iter().map(|(_, row)| row.version));
        sleep(10 * MINUTE).await;
    }
    assert_eq!(versions.len(), 2, "two hours");
}
