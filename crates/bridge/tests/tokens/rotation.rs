//! Rotation of refresh tokens.

use std::time::Duration;

use portcullis_bridge::{BridgeConfig, Client, GrantType, RedirectUri, ScopePolicy};
use portcullis_core::{Reason, ScopeSet};
use portcullis_test_support::{Answer, Endpoint, OAuthClient, TokenPolicy};
use serde_json::json;

use crate::fixture::{APP, Fixture, ISSUER, OTHER_RESOURCE, RESOURCE, at_once};

async fn refresh(fixture: &Fixture, token: &str) -> Answer {
    fixture.app().await.refresh(token).await.expect("a response")
}

/// Asserts that the session has ended, and its grant at the provider.
async fn assert_dead(fixture: &Fixture, answers: &[&Answer]) {
    for answer in answers {
        assert_eq!(fixture.verify(answer.access_token()).await.expect_err("ended").reason(), Reason::Inactive);
        assert_eq!(refresh(fixture, answer.refresh_token()).await.error(), Some("invalid_grant"));
    }
    fixture.bridge.shutdown().await;
    assert_eq!(fixture.idp.calls(Endpoint::Revocation), 1);
}

#[tokio::test(start_paused = true)]
async fn as_08_a_refresh_token_is_replaced_whenever_it_is_used() {
    let fixture = Fixture::new().await;
    let mut last = fixture.log_in().await;
    let mut seen = vec![last.refresh_token().to_owned(), last.access_token().to_owned()];
    for _ in 0..3 {
        fixture.pass(300);
        let next = refresh(&fixture, last.refresh_token()).await;
        assert_eq!((next.status().as_u16(), &next["scope"]), (200, &last["scope"]));
        assert_eq!(next.headers()["cache-control"], "no-store");
        assert!(fixture.verify(next.access_token()).await.is_ok());
        assert!(fixture.verify(last.access_token()).await.is_ok(), "the one before is good until it expires");
        for token in [next.refresh_token(), next.access_token()] {
            assert!(!seen.contains(&token.to_owned()));
            seen.push(token.to_owned());
        }
        last = next;
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_repetitions_of_a_refresh_get_the_same_tokens() {
    let fixture = Fixture::new().await;
    let first = fixture.log_in().await;
    let client = fixture.app().await;
    let answers = at_once(20, || client.refresh(first.refresh_token())).await;
    for answer in &answers {
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(answer.access_token(), answers[0].access_token());
        assert_eq!(answer.refresh_token(), answers[0].refresh_token());
    }
    assert!(fixture.verify(answers[0].access_token()).await.is_ok());
    assert_eq!(refresh(&fixture, answers[0].refresh_token()).await.status(), 200, "and it goes on");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_repeats_a_lost_answer_within_the_grace_period_gets_it_again() {
    let fixture = Fixture::new().await;
    let first = fixture.log_in().await;
    let second = refresh(&fixture, first.refresh_token()).await;
    fixture.pass(120);
    let again = refresh(&fixture, first.refresh_token()).await;
    assert_eq!((again.access_token(), again.refresh_token()), (second.access_token(), second.refresh_token()));
    assert_eq!(
        again["expires_in"],
        second["expires_in"].as_u64().expect("seconds") - 120,
        "the same token, not a new one"
    );
    assert!(fixture.verify(second.access_token()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_comes_again_after_its_grace_period_ends_the_session() {
    let fixture = Fixture::new().await;
    let first = fixture.log_in().await;
    let second = refresh(&fixture, first.refresh_token()).await;
    let user = fixture.verify(second.access_token()).await.expect("a user");
    fixture.pass(121);
    let stolen = refresh(&fixture, first.refresh_token()).await;
    assert_eq!((stolen.status().as_u16(), stolen.error()), (400, Some("invalid_grant")));
    assert!(user.revocation().is_revoked(), "who has the user already is told");
    assert_dead(&fixture, &[&first, &second]).await;
}

#[tokio::test(start_paused = true)]
async fn an_older_refresh_token_ends_the_session_at_once() {
    let fixture = Fixture::new().await;
    let first = fixture.log_in().await;
    let second = refresh(&fixture, first.refresh_token()).await;
    let third = refresh(&fixture, second.refresh_token()).await;
    assert_eq!(refresh(&fixture, first.refresh_token()).await.error(), Some("invalid_grant"));
    assert_dead(&fixture, &[&second, &third]).await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_is_bound_to_its_client() {
    let fixture = Fixture::new().await;
    let first = fixture.log_in().await;
    let stolen = fixture.server().await.refresh(first.refresh_token()).await.expect("a response");
    assert_eq!((stolen.status().as_u16(), stolen.error()), (400, Some("invalid_grant")));
    assert_eq!(refresh(&fixture, first.refresh_token()).await.status(), 200, "and its owner does not suffer");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_may_narrow_the_scopes_and_not_extend_them() {
    let fixture = Fixture::new().await;
    let first = fixture.log_in().await;
    let client = fixture.app().await;
    for (what, call, error) in [
        ("no scope", client.refresh(first.refresh_token()).with("scope", "\""), "invalid_scope"),
        ("another resource", client.refresh(first.refresh_token()).with("resource", OTHER_RESOURCE), "invalid_target"),
    ] {
        let answer = call.await.expect("a response");
        assert_eq!((answer.status().as_u16(), answer.error()), (400, Some(error)), "{what}");
    }
    let less = client.refresh(first.refresh_token()).with("scope", "mcp:read").with("resource", RESOURCE);
    let less = less.await.expect("a response");
    assert_eq!(less["scope"], "mcp:read");
    assert_eq!(fixture.verify(less.access_token()).await.expect("a user").scopes().to_string(), "mcp:read");
    let all = refresh(&fixture, less.refresh_token()).await;
    assert_eq!(all["scope"], "mcp:read mcp:write", "what was granted stays granted");
}

#[tokio::test(start_paused = true)]
async fn clients_that_repeat_their_requested_scopes_at_refresh_keep_the_granted_ones() {
    let readers = || ScopePolicy::new(|_, asked| asked.intersection(&ScopeSet::parse("mcp:read").expect("scopes")));
    for (requested, granted) in [
        ("openid", "mcp:read"),
        ("openid email profile", "mcp:read"),
        ("openid email profile offline_access", "mcp:read"),
        ("claudeai", "mcp:read"),
        ("read write", "mcp:read"),
        ("mcp:tools", "mcp:read"),
        ("mcp.read mcp.write", "mcp:read"),
        ("mcp:read mcp:write", "mcp:read"),
        ("mcp:read offline_access", "mcp:read"),
        ("mcp:write", ""),
    ] {
        let basic = if granted.is_empty() { "" } else { "mcp:read" };
        let basic = ScopeSet::parse(basic).expect("scopes");
        let fixture = Fixture::with(|config| config.with_default_scopes(basic).with_scope_policy(readers())).await;
        let client = fixture.app().await.with_scope(requested);
        let (authorization, code) = fixture.code(&client).await;
        let mut answer = client.redeem(&authorization, &code).await.expect("a response");
        for _ in 0..2 {
            assert_eq!((answer.status().as_u16(), &answer["scope"]), (200, &json!(granted)), "{requested}");
            let user = fixture.verify(answer.access_token()).await.expect("a user");
            assert_eq!(user.scopes().to_string(), granted, "{requested}");
            let again = client.refresh(answer.refresh_token()).with("scope", requested);
            answer = again.await.expect("a response");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn removed_scopes_are_missing_after_the_next_refresh_and_may_return() {
    let scopes = |text| ScopeSet::parse(text).expect("scopes");
    let uris = vec![RedirectUri::new(OAuthClient::REDIRECT_URI).expect("a redirect URI")];
    let app =
        Client::public(APP, "An app", uris).with_grant_types([GrantType::AuthorizationCode, GrantType::RefreshToken]);
    let bare = || BridgeConfig::new(ISSUER.parse().expect("an issuer"), RESOURCE.parse().expect("a resource"));
    // Removed from the bridge, or from this client.
    let everybodys = bare().with_scopes(scopes("mcp:read other")).with_client(app.clone()).expect("a client");
    let all = || bare().with_scopes(scopes("mcp:read mcp:write"));
    let clients = all().with_client(app.clone().with_scopes(scopes("mcp:read"))).expect("a client");
    for less in [everybodys, clients] {
        let fixture = Fixture::new().await;
        let first = fixture.log_in().await;
        assert_eq!(first["scope"], "mcp:read mcp:write");
        let changed = fixture.another(|_| less);
        let fixture = fixture.replaced_by(changed);
        let second = refresh(&fixture, first.refresh_token()).await;
        assert_eq!((second.status().as_u16(), &second["scope"]), (200, &json!("mcp:read")));
        assert_eq!(fixture.verify(second.access_token()).await.expect("a user").scopes().to_string(), "mcp:read");
        let again = refresh(&fixture, first.refresh_token()).await;
        assert_eq!((again.access_token(), &again["scope"]), (second.access_token(), &json!("mcp:read")));
        let gone = fixture.app().await.refresh(second.refresh_token()).with("scope", "mcp:write").await;
        assert_eq!(gone.expect("a response").error(), Some("invalid_grant"), "nothing is left of that");
        let changed = fixture.another(|_| all().with_client(app.clone()).expect("a client"));
        let fixture = fixture.replaced_by(changed);
        let third = refresh(&fixture, second.refresh_token()).await;
        assert_eq!(third["scope"], "mcp:read mcp:write", "the user had allowed it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_without_allowed_scopes_is_not_refreshed() {
    let fixture = Fixture::new().await;
    let first = fixture.log_in().await;
    let changed = fixture.another(|config| config.with_scopes(ScopeSet::parse("other").expect("scopes")));
    let fixture = fixture.replaced_by(changed);
    let answer = refresh(&fixture, first.refresh_token()).await;
    assert_eq!(
        (answer.status().as_u16(), answer.error()),
        (400, Some("invalid_grant")),
        "the user has to log in again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_at_its_maximum_age_despite_refreshes() {
    let fixture = Fixture::with(|config| config.with_max_session_age(Duration::from_secs(3600))).await;
    let mut last = fixture.log_in().await;
    for _ in 0..6 {
        fixture.pass(580);
        last = refresh(&fixture, last.refresh_token()).await;
        assert_eq!(last.status(), 200);
    }
    let left = last["expires_in"].as_u64().expect("seconds");
    assert!(left <= 120, "no token outlives the session: {left}");
    fixture.pass(120);
    assert_eq!(refresh(&fixture, last.refresh_token()).await.error(), Some("invalid_grant"));
    assert!(fixture.verify(last.access_token()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_unused_refresh_token_expires() {
    let fixture = Fixture::with(|config| config.with_refresh_token_ttl(Duration::from_secs(7200))).await;
    let first = fixture.log_in().await;
    fixture.pass(7199);
    let second = refresh(&fixture, first.refresh_token()).await;
    assert_eq!(second.status(), 200);
    fixture.pass(7200);
    assert_eq!(refresh(&fixture, second.refresh_token()).await.error(), Some("invalid_grant"));
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_grant_at_the_provider_has_ended_is_not_refreshed() {
    let fixture = Fixture::new().await;
    fixture.idp.set_token_policy(TokenPolicy::new().with_access_token_lifetime(Duration::from_secs(60)));
    let first = fixture.log_in().await;
    let user = fixture.verify(first.access_token()).await.expect("a user");
    fixture.idp.revoke_grant("alice");
    fixture.pass(61);
    let ended = user.upstream().access_token().await.expect_err("revoked there");
    assert_eq!(ended.reason(), Reason::GrantEnded);
    assert_eq!(
        refresh(&fixture, first.refresh_token()).await.error(),
        Some("invalid_grant"),
        "the user has to log in again"
    );
    assert_eq!(fixture.verify(first.access_token()).await.expect_err("ended").reason(), Reason::Inactive);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_completes_although_the_client_disconnects() {
    let fixture = Fixture::new().await;
    let mut token = fixture.log_in().await.refresh_token().to_owned();
    for turns in 0..40 {
        let client = fixture.app().await;
        let call = tokio::spawn(client.refresh(&token).into_future());
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        // The connection breaks.
        call.abort();
        let answer = refresh(&fixture, &token).await;
        assert_eq!(answer.status(), 200, "after {turns} turns: {answer:?}");
        assert!(fixture.verify(answer.access_token()).await.is_ok());
        answer.refresh_token().clone_into(&mut token);
        fixture.pass(30);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_failure_ends_no_session() {
    let fixture = Fixture::new().await;
    let first = fixture.log_in().await;
    fixture.store.set_broken(true);
    let answer = refresh(&fixture, first.refresh_token()).await;
    assert_eq!((answer.status().as_u16(), answer.error()), (503, Some("temporarily_unavailable")));
    let user = fixture.verify(first.access_token()).await.expect_err("it cannot be determined");
    assert_eq!(user.reason(), Reason::StoreUnavailable);
    fixture.store.set_broken(false);
    assert_eq!(refresh(&fixture, first.refresh_token()).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_refresh_token_is_rejected() {
    let fixture = Fixture::new().await;
    let first = fixture.log_in().await;
    let of_the_provider = fixture.idp.issue_grant("alice", "openid");
    let long = "x".repeat(10_000);
    for token in ["x", first.access_token(), &*of_the_provider.refresh_token, &long] {
        let answer = refresh(&fixture, token).await;
        assert_eq!((answer.status().as_u16(), answer.error()), (400, Some("invalid_grant")));
    }
    let nothing = fixture.app().await.token("refresh_token").await.expect("a response");
    assert_eq!((nothing.error(), &nothing["refresh_token"]), (Some("invalid_request"), &json!(null)));
    assert_eq!(refresh(&fixture, first.refresh_token()).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_whose_write_was_not_acknowledged_is_repeated() {
    let fixture = Fixture::new().await;
    let first = fixture.log_in().await;
    fixture.store.set_loses_answers(true);
    assert_eq!(refresh(&fixture, first.refresh_token()).await.status(), 503);
    fixture.store.set_loses_answers(false);
    let second = refresh(&fixture, first.refresh_token()).await;
    assert_eq!(second.status(), 200, "it is the immediate predecessor, presented again");
    assert!(fixture.verify(second.access_token()).await.is_ok());
    assert_eq!(refresh(&fixture, second.refresh_token()).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_does_not_call_the_provider() {
    let fixture = Fixture::new().await;
    let first = fixture.log_in().await;
    let calls = fixture.idp.calls(Endpoint::Token);
    let client = fixture.app().await;
    at_once(5, || client.refresh(first.refresh_token())).await;
    assert_eq!((fixture.idp.calls(Endpoint::Token), fixture.idp.families_killed()), (calls, 0));
}

#[tokio::test(start_paused = true)]
async fn a_sweep_leaves_what_can_still_be_refreshed() {
    let fixture = Fixture::new().await;
    let first = fixture.log_in().await;
    // The sweep runs, and the access token has expired.
    tokio::time::sleep(Duration::from_secs(5 * 3600)).await;
    assert_eq!(fixture.verify(first.access_token()).await.expect_err("expired").reason(), Reason::Inactive);
    let second = refresh(&fixture, first.refresh_token()).await;
    assert_eq!(second.status(), 200);
    let user = fixture.verify(second.access_token()).await.expect("a user");
    assert!(user.upstream().access_token().await.is_ok(), "and its grant is still there");
}
