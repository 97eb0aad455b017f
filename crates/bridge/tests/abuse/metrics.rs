//! Metrics of logins, tokens, registrations, sessions and exceeded limits.

use std::{collections::BTreeMap, time::Duration};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use portcullis_test_support::{Browser, LoginPolicy, OAuthClient};
use tokio::time::sleep;

use crate::fixture::{Fixture, REDIRECT_URI, SERVER};

/// Returns the counters since the last call, without prefix, as `name label label`.
fn counted(snapshotter: &Snapshotter) -> BTreeMap<String, u64> {
    let mut counted = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let key = key.key();
        let labels = key.labels().map(|label| label.value().to_owned());
        let Some(name) = key.name().strip_prefix("portcullis_bridge_") else { continue };
        if let DebugValue::Counter(value @ 1..) = value {
            counted.insert(std::iter::once(name.to_owned()).chain(labels).collect::<Vec<_>>().join(" "), value);
        }
    }
    counted
}

fn expected<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.map(|(name, count)| (name.to_owned(), count)).into()
}

#[tokio::test(start_paused = true)]
async fn every_outcome_is_counted_once() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let fixture = Fixture::new();
    let mut client = fixture.client().await;
    let registration = client.registration();
    client.register(&registration).await.expect("a response");
    client.register(&serde_json::json!({})).await.expect("a response");
    assert_eq!(
        counted(&snapshotter),
        expected([("registrations_total registered", 1), ("registrations_total invalid_redirect_uri", 1)])
    );

    let log_in = async |buttons: &[(&str, &str)]| {
        let authorization = client.authorization().expect("an endpoint");
        let mut browser = Browser::new(fixture.network.clone()).with_stop_at(REDIRECT_URI);
        let arrival = browser.press_through(&authorization.url(), buttons).await.expect("pages");
        (arrival, authorization)
    };
    drop(log_in(&[("decision", "deny")]).await);
    fixture.idp.set_login_policy(LoginPolicy::new().with_denial("access_denied"));
    drop(log_in(&[Browser::APPROVE]).await);
    fixture.idp.set_login_policy(LoginPolicy::new());
    let foreign =
        fixture.send(http::Request::get("/callback?state=a&code=b").body("".into()).expect("a request")).await;
    assert!(foreign.status().is_client_error());
    let (arrival, authorization) = log_in(&[Browser::APPROVE, ("user", "alice")]).await;
    assert_eq!(
        counted(&snapshotter),
        expected([
            ("logins_total begun", 2),
            ("logins_total completed", 1),
            ("logins_total denied", 1),
            ("logins_total foreign", 1),
            ("logins_total refused", 1),
        ])
    );

    let code = authorization.code(&arrival.left().expect("a callback")).expect("a code");
    let first = client.redeem(&authorization, &code).await.expect("a response");
    let second = client.refresh(first.refresh_token()).await.expect("a response");
    client.refresh(first.refresh_token()).await.expect("a response");
    sleep(Duration::from_mins(3)).await;
    client.refresh(second.refresh_token()).await.expect("a response");
    client.refresh(first.refresh_token()).await.expect("a response");
    client.token("password").await.expect("a response");
    assert_eq!(
        counted(&snapshotter),
        expected([
            ("refreshes_repeated_total", 1),
            ("sessions_ended_total refresh_token_reused", 1),
            ("tokens_total authorization_code issued", 1),
            ("tokens_total other unsupported_grant_type", 1),
            ("tokens_total refresh_token invalid_grant", 1),
            ("tokens_total refresh_token issued", 3),
        ])
    );

    let server: OAuthClient = fixture.client().await.with_client_id(SERVER).with_secret("a guess");
    for _ in 0..12 {
        server.refresh("a").await.expect("a response");
    }
    assert_eq!(
        counted(&snapshotter),
        expected([
            ("limited_total authentication", 2),
            ("tokens_total refresh_token invalid_client", 10),
            ("tokens_total refresh_token temporarily_unavailable", 2),
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn the_numbers_of_rows_are_reported_once_a_minute() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let fixture = Fixture::new();
    let mut client = fixture.client().await;
    let registration = client.registration();
    client.register(&registration).await.expect("a response");
    sleep(Duration::from_secs(70)).await;
    let rows = snapshotter.snapshot().into_vec().into_iter().filter_map(|(key, _, _, value)| {
        let DebugValue::Gauge(rows) = value else { return None };
        let table = key.key().labels().next().map(|label| label.value().to_owned());
        (key.key().name() == "portcullis_bridge_rows").then_some((table?, rows.into_inner()))
    });
    let rows: BTreeMap<_, _> = rows.collect();
    let expected = [
        ("clients", 1.0),
        ("consents", 0.0),
        ("documents", 0.0),
        ("logins", 0.0),
        ("replays", 0.0),
        ("sessions", 0.0),
        ("signing_keys", 0.0),
        ("users", 0.0),
    ];
    assert_eq!(rows, expected.map(|(table, rows)| (table.to_owned(), rows)).into());
}
