//! A refresh token becomes the next one.

use std::time::Duration;

use portcullis_bridge::{BridgeConfig, Client, GrantType, RedirectUri};
use portcullis_core::{Reason, ScopeSet};
use portcullis_test_support::{Answer, Endpoint, OAuthClient, TokenPolicy};
use serde_json::json;

use crate::world::{APP, ISSUER, OTHER_RESOURCE, RESOURCE, World, at_once};

async fn refresh(world: &World, token: &str) -> Answer {
    world.app().await.refresh(token).await.expect("an answer")
}

/// Nothing of the session works any more, and the provider knows.
async fn assert_dead(world: &World, answers: &[&Answer]) {
    for answer in answers {
        assert_eq!(world.verify(answer.access_token()).await.expect_err("over").reason(), Reason::Inactive);
        assert_eq!(refresh(world, answer.refresh_token()).await.error(), Some("invalid_grant"));
    }
    world.bridge.shutdown().await;
    assert_eq!(world.idp.calls(Endpoint::Revocation), 1);
}

#[tokio::test(start_paused = true)]
async fn as_08_a_refresh_token_is_replaced_whenever_it_is_used() {
    let world = World::new().await;
    let mut last = world.log_in().await;
    let mut seen = vec![last.refresh_token().to_owned(), last.access_token().to_owned()];
    for _ in 0..3 {
        world.pass(300);
        let next = refresh(&world, last.refresh_token()).await;
        assert_eq!((next.status().as_u16(), &next["scope"]), (200, &last["scope"]));
        assert_eq!(next.headers()["cache-control"], "no-store");
        assert!(world.verify(next.access_token()).await.is_ok());
        assert!(world.verify(last.access_token()).await.is_ok(), "the one before is good until it expires");
        for token in [next.refresh_token(), next.access_token()] {
            assert!(!seen.contains(&token.to_owned()));
            seen.push(token.to_owned());
        }
        last = next;
    }
}

#[tokio::test(start_paused = true)]
async fn twenty_who_repeat_one_refresh_at_once_get_one_pair_of_successors() {
    let world = World::new().await;
    let first = world.log_in().await;
    let client = world.app().await;
    let answers = at_once(20, || client.refresh(first.refresh_token())).await;
    for answer in &answers {
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(answer.access_token(), answers[0].access_token());
        assert_eq!(answer.refresh_token(), answers[0].refresh_token());
    }
    assert!(world.verify(answers[0].access_token()).await.is_ok());
    assert_eq!(refresh(&world, answers[0].refresh_token()).await.status(), 200, "and it goes on");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_repeats_a_lost_answer_within_the_grace_period_gets_it_again() {
    let world = World::new().await;
    let first = world.log_in().await;
    let second = refresh(&world, first.refresh_token()).await;
    world.pass(120);
    let again = refresh(&world, first.refresh_token()).await;
    assert_eq!((again.access_token(), again.refresh_token()), (second.access_token(), second.refresh_token()));
    assert_eq!(
        again["expires_in"],
        second["expires_in"].as_u64().expect("seconds") - 120,
        "the same token, not a new one"
    );
    assert!(world.verify(second.access_token()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_comes_again_after_its_grace_period_ends_the_session() {
    let world = World::new().await;
    let first = world.log_in().await;
    let second = refresh(&world, first.refresh_token()).await;
    let user = world.verify(second.access_token()).await.expect("a user");
    world.pass(121);
    let stolen = refresh(&world, first.refresh_token()).await;
    assert_eq!((stolen.status().as_u16(), stolen.error()), (400, Some("invalid_grant")));
    assert!(user.revocation().is_revoked(), "who has the user already is told");
    assert_dead(&world, &[&first, &second]).await;
}

#[tokio::test(start_paused = true)]
async fn an_older_refresh_token_ends_the_session_at_once() {
    let world = World::new().await;
    let first = world.log_in().await;
    let second = refresh(&world, first.refresh_token()).await;
    let third = refresh(&world, second.refresh_token()).await;
    assert_eq!(refresh(&world, first.refresh_token()).await.error(), Some("invalid_grant"));
    assert_dead(&world, &[&second, &third]).await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_is_of_no_use_to_another_client() {
    let world = World::new().await;
    let first = world.log_in().await;
    let stolen = world.server().await.refresh(first.refresh_token()).await.expect("an answer");
    assert_eq!((stolen.status().as_u16(), stolen.error()), (400, Some("invalid_grant")));
    assert_eq!(refresh(&world, first.refresh_token()).await.status(), 200, "and its owner does not suffer");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_may_ask_for_less_and_never_for_more() {
    let world = World::new().await;
    let first = world.log_in().await;
    let client = world.app().await;
    for (what, call, error) in [
        ("more", client.refresh(first.refresh_token()).with("scope", "mcp:read mcp:admin"), "invalid_scope"),
        ("no scope", client.refresh(first.refresh_token()).with("scope", "\""), "invalid_scope"),
        ("another resource", client.refresh(first.refresh_token()).with("resource", OTHER_RESOURCE), "invalid_target"),
    ] {
        let answer = call.await.expect("an answer");
        assert_eq!((answer.status().as_u16(), answer.error()), (400, Some(error)), "{what}");
    }
    let less = client.refresh(first.refresh_token()).with("scope", "mcp:read").with("resource", RESOURCE);
    let less = less.await.expect("an answer");
    assert_eq!(less["scope"], "mcp:read");
    assert_eq!(world.verify(less.access_token()).await.expect("a user").scopes().to_string(), "mcp:read");
    let all = refresh(&world, less.refresh_token()).await;
    assert_eq!(all["scope"], "mcp:read mcp:write", "what was granted stays granted");
}

#[tokio::test(start_paused = true)]
async fn scopes_that_were_taken_away_are_gone_with_the_next_refresh_and_may_come_back() {
    let scopes = |text| ScopeSet::parse(text).expect("scopes");
    let uris = vec![RedirectUri::new(OAuthClient::REDIRECT_URI).expect("a redirect URI")];
    let app =
        Client::public(APP, "An app", uris).with_grant_types([GrantType::AuthorizationCode, GrantType::RefreshToken]);
    let bare = || BridgeConfig::new(ISSUER.parse().expect("an issuer"), RESOURCE.parse().expect("a resource"));
    // Taken from everybody, or from this client.
    let everybodys = bare().with_scopes(scopes("mcp:read other")).with_client(app.clone()).expect("a client");
    let all = || bare().with_scopes(scopes("mcp:read mcp:write"));
    let clients = all().with_client(app.clone().with_scopes(scopes("mcp:read"))).expect("a client");
    for less in [everybodys, clients] {
        let world = World::new().await;
        let first = world.log_in().await;
        assert_eq!(first["scope"], "mcp:read mcp:write");
        let changed = world.another(|_| less);
        let world = world.replaced_by(changed);
        let second = refresh(&world, first.refresh_token()).await;
        assert_eq!((second.status().as_u16(), &second["scope"]), (200, &json!("mcp:read")));
        assert_eq!(world.verify(second.access_token()).await.expect("a user").scopes().to_string(), "mcp:read");
        let again = refresh(&world, first.refresh_token()).await;
        assert_eq!((again.access_token(), &again["scope"]), (second.access_token(), &json!("mcp:read")));
        let gone = world.app().await.refresh(second.refresh_token()).with("scope", "mcp:write").await;
        assert_eq!(gone.expect("an answer").error(), Some("invalid_grant"), "nothing is left of that");
        let changed = world.another(|_| all().with_client(app.clone()).expect("a client"));
        let world = world.replaced_by(changed);
        let third = refresh(&world, second.refresh_token()).await;
        assert_eq!(third["scope"], "mcp:read mcp:write", "the user had allowed it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_of_which_nothing_is_left_is_not_refreshed() {
    let world = World::new().await;
    let first = world.log_in().await;
    let changed = world.another(|config| config.with_scopes(ScopeSet::parse("other").expect("scopes")));
    let world = world.replaced_by(changed);
    let answer = refresh(&world, first.refresh_token()).await;
    assert_eq!(
        (answer.status().as_u16(), answer.error()),
        (400, Some("invalid_grant")),
        "the user has to log in again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_its_time_is_over_however_often_it_was_refreshed() {
    let world = World::with(|config| config.with_max_session_age(Duration::from_secs(3600))).await;
    let mut last = world.log_in().await;
    for _ in 0..6 {
        world.pass(580);
        last = refresh(&world, last.refresh_token()).await;
        assert_eq!(last.status(), 200);
    }
    let left = last["expires_in"].as_u64().expect("seconds");
    assert!(left <= 120, "no token outlives the session: {left}");
    world.pass(120);
    assert_eq!(refresh(&world, last.refresh_token()).await.error(), Some("invalid_grant"));
    assert!(world.verify(last.access_token()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_unused_refresh_token_expires() {
    let world = World::with(|config| config.with_refresh_token_ttl(Duration::from_secs(7200))).await;
    let first = world.log_in().await;
    world.pass(7199);
    let second = refresh(&world, first.refresh_token()).await;
    assert_eq!(second.status(), 200);
    world.pass(7200);
    assert_eq!(refresh(&world, second.refresh_token()).await.error(), Some("invalid_grant"));
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_grant_at_the_provider_has_ended_is_not_refreshed() {
    let world = World::new().await;
    world.idp.set_token_policy(TokenPolicy::new().with_access_token_lifetime(Duration::from_secs(60)));
    let first = world.log_in().await;
    let user = world.verify(first.access_token()).await.expect("a user");
    world.idp.revoke_grant("alice");
    world.pass(61);
    let ended = user.upstream().access_token().await.expect_err("revoked there");
    assert_eq!(ended.reason(), Reason::GrantEnded);
    assert_eq!(
        refresh(&world, first.refresh_token()).await.error(),
        Some("invalid_grant"),
        "the user has to log in again"
    );
    assert_eq!(world.verify(first.access_token()).await.expect_err("over").reason(), Reason::Inactive);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_at_any_moment_finds_its_session_again() {
    let world = World::new().await;
    let mut token = world.log_in().await.refresh_token().to_owned();
    for turns in 0..40 {
        let client = world.app().await;
        let call = tokio::spawn(client.refresh(&token).into_future());
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        // The connection breaks.
        call.abort();
        let answer = refresh(&world, &token).await;
        assert_eq!(answer.status(), 200, "after {turns} turns: {answer:?}");
        assert!(world.verify(answer.access_token()).await.is_ok());
        answer.refresh_token().clone_into(&mut token);
        world.pass(30);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_out_of_order_ends_no_session() {
    let world = World::new().await;
    let first = world.log_in().await;
    world.shelf.set_broken(true);
    let answer = refresh(&world, first.refresh_token()).await;
    assert_eq!((answer.status().as_u16(), answer.error()), (503, Some("temporarily_unavailable")));
    let user = world.verify(first.access_token()).await.expect_err("nobody can tell");
    assert_eq!(user.reason(), Reason::StoreUnavailable);
    world.shelf.set_broken(false);
    assert_eq!(refresh(&world, first.refresh_token()).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_refresh_token_of_ours_is_refused() {
    let world = World::new().await;
    let first = world.log_in().await;
    let of_the_provider = world.idp.issue_grant("alice", "openid");
    let long = "x".repeat(10_000);
    for token in ["x", first.access_token(), &*of_the_provider.refresh_token, &long] {
        let answer = refresh(&world, token).await;
        assert_eq!((answer.status().as_u16(), answer.error()), (400, Some("invalid_grant")));
    }
    let nothing = world.app().await.token("refresh_token").await.expect("an answer");
    assert_eq!((nothing.error(), &nothing["refresh_token"]), (Some("invalid_request"), &json!(null)));
    assert_eq!(refresh(&world, first.refresh_token()).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_whose_write_was_not_acknowledged_is_repeated() {
    let world = World::new().await;
    let first = world.log_in().await;
    world.shelf.set_loses_answers(true);
    assert_eq!(refresh(&world, first.refresh_token()).await.status(), 503);
    world.shelf.set_loses_answers(false);
    let second = refresh(&world, first.refresh_token()).await;
    assert_eq!(second.status(), 200, "it is the immediate predecessor, presented again");
    assert!(world.verify(second.access_token()).await.is_ok());
    assert_eq!(refresh(&world, second.refresh_token()).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn the_provider_does_not_notice_that_a_client_refreshes() {
    let world = World::new().await;
    let first = world.log_in().await;
    let calls = world.idp.calls(Endpoint::Token);
    let client = world.app().await;
    at_once(5, || client.refresh(first.refresh_token())).await;
    assert_eq!((world.idp.calls(Endpoint::Token), world.idp.families_killed()), (calls, 0));
}

#[tokio::test(start_paused = true)]
async fn a_sweep_leaves_what_can_still_be_refreshed() {
    let world = World::new().await;
    let first = world.log_in().await;
    // The sweeper runs, and the access token has long expired.
    tokio::time::sleep(Duration::from_secs(5 * 3600)).await;
    assert_eq!(world.verify(first.access_token()).await.expect_err("expired").reason(), Reason::Inactive);
    let second = refresh(&world, first.refresh_token()).await;
    assert_eq!(second.status(), 200);
    let user = world.verify(second.access_token()).await.expect("a user");
    assert!(user.upstream().access_token().await.is_ok(), "and its grant is still there");
}
