//! The lifetime of an access token, by each of its sources.

use std::time::Duration;

use portcullis_core::UnixTime;
use portcullis_oauth::providers::Provider;
use portcullis_testkit::TestClock;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::script::{Line, Script, bare, json, oidc, refresh};

const NOW: u64 = TestClock::START.as_secs();

fn opaque() -> Value {
    json!({"access_token": "at-1", "token_type": "Bearer"})
}

async fn lifetime(provider: Provider, lines: Vec<Line>) -> (Option<Duration>, Option<UnixTime>, usize) {
    let script = Script::new(lines);
    let tokens = refresh(&script.client(provider)).await.expect("tokens");
    (tokens.expires_in, tokens.expires_at, script.calls())
}

#[tokio::test(start_paused = true)]
async fn the_response_contains_it_and_no_other_source_is_asked() {
    let response = json!({"access_token": "at-1", "token_type": "Bearer", "expires_in": 60});
    let told = lifetime(oidc(), vec![json(200, &response)]).await;
    assert_eq!(told, (Some(Duration::from_secs(60)), None, 1));
}

#[tokio::test(start_paused = true)]
async fn else_introspection_tells_it() {
    let active = json!({"active": true, "exp": NOW + 900});
    let told = lifetime(oidc(), vec![json(200, &opaque()), json(200, &active)]).await;
    assert_eq!(told, (None, Some(UnixTime::from_secs(NOW + 900)), 2));
    let salesforce = || Provider::salesforce("login.salesforce.com").expect("salesforce");
    let told = lifetime(salesforce(), vec![json(200, &opaque()), json(200, &active)]).await;
    assert_eq!(told, (None, Some(UnixTime::from_secs(NOW + 900)), 2));
    let told = lifetime(salesforce(), vec![json(200, &opaque()), bare(400)]).await;
    assert_eq!(told, (Some(Duration::from_secs(7200)), None, 2), "else what an org begins with");
}

#[tokio::test(start_paused = true)]
async fn otherwise_no_user_and_new_tokens_are_not_lost() {
    for answer in [
        json(200, &json!({"active": true})),
        json(200, &json!({"active": true, "exp": NOW - 1})),
        json(200, &json!({"active": false})),
        json(200, &json!({"active": true, "exp": "soon"})),
        bare(500),
        Line::Silence,
    ] {
        let begun = Instant::now();
        let told = lifetime(oidc(), vec![json(200, &opaque()), answer.clone()]).await;
        assert_eq!(told, (None, None, 2), "{answer:?}");
        assert!(begun.elapsed() <= Duration::from_millis(1500), "{answer:?}: they wait to be saved");
    }
    let told = lifetime(Provider::github(), vec![json(200, &opaque())]).await;
    assert_eq!(told, (None, None, 1), "GitHub's tokens of OAuth apps have no end");
    let configured = Provider::github().with_default_lifetime(Duration::from_secs(5));
    assert_eq!(lifetime(configured, vec![json(200, &opaque())]).await.0, Some(Duration::from_secs(5)));
}

#[tokio::test(start_paused = true)]
async fn introspection_that_fails_is_left_alone() {
    for answer in [bare(500), bare(401)] {
        let script = Script::new([json(200, &opaque()), answer, json(200, &opaque())]);
        let client = script.client(oidc());
        refresh(&client).await.expect("tokens");
        refresh(&client).await.expect("tokens");
        assert_eq!(script.paths(), ["/token", "/introspect", "/token"]);
    }
}
