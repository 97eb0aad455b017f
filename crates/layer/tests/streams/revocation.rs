//! A token that is revoked at its issuer without a notification.

use std::time::Duration;

use futures_util::future::join_all;
use portcullis_core::BearerToken;

use super::support::{TTL, World, end_of, open};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test(start_paused = true)]
async fn tr_04_a_stream_ends_when_its_token_is_revoked_at_the_issuer() {
    let world = World::new();
    let (config, token) = (world.cached(), world.token("alice"));
    let mut stream = open(&config, &token).await;
    assert_eq!(end_of(&mut stream, HOUR).await, None, "a valid token keeps its stream");
    // One call when the stream was opened, and one after each time to live of the context.
    let asked = world.introspections();
    assert!((13..=14).contains(&asked), "{asked}");

    world.provider.revoke(&token);
    let ended = end_of(&mut stream, HOUR).await.expect("an end");
    assert!(ended <= TTL.as_secs(), "{ended} s");
    assert_eq!(world.introspections(), asked + 1, "one question is enough");
}

#[tokio::test(start_paused = true)]
async fn tr_04_a_stream_opened_by_a_remembered_context_ends_with_the_lifetime_of_that() {
    let world = World::new();
    let (config, token) = (world.cached(), world.token("alice"));
    drop(open(&config, &token).await);
    tokio::time::sleep(TTL / 2).await;
    let mut stream = open(&config, &token).await;
    world.provider.revoke(&token);
    let ended = end_of(&mut stream, HOUR).await.expect("an end");
    assert!(ended <= (TTL / 2).as_secs(), "{ended} s");
    assert_eq!(world.introspections(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_streams_of_one_token_are_one_question_for_each_time_to_live() {
    let world = World::new();
    let (config, token) = (world.cached(), world.token("alice"));
    let other = world.token("bob");
    let mut streams = Vec::new();
    for _ in 0..1_000 {
        streams.push(open(&config, &token).await);
    }
    let mut of_bob = open(&config, &other).await;
    assert_eq!(world.introspections(), 2, "one for each token");

    for round in 1..=3 {
        // Longer than one time to live, and shorter than two.
        let open = join_all(streams.iter_mut().map(|stream| end_of(stream, TTL))).await;
        assert!(open.iter().all(Option::is_none), "all of them go on");
        assert_eq!(world.introspections(), 2 + round, "in round {round}, of 1,000 streams");
    }

    world.provider.revoke(&token);
    let ended = join_all(streams.iter_mut().map(|stream| end_of(stream, HOUR))).await;
    assert!(ended.iter().all(|ended| ended.is_some_and(|ended| ended <= TTL.as_secs())), "all of them end");
    assert_eq!(world.introspections(), 2 + 3 + 1, "of 1,000 streams");
    assert_eq!(end_of(&mut of_bob, HOUR).await, None, "the stream of another token is untouched");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_token_has_lost_a_required_scope() {
    let world = World::new();
    let token = world.provider.token("alice").without_claim("exp").with_scope("mcp:use").opaque();
    let scopes = portcullis_core::ScopeSet::parse("mcp:use").expect("a scope");
    let mut stream = open(&world.cached().with_required_scopes(scopes), &token).await;
    assert_eq!(end_of(&mut stream, TTL * 2).await, None);
    world.provider.set_fault(
        portcullis_testkit::Endpoint::Introspection,
        portcullis_testkit::Fault::body(
            "application/json",
            format!(
                r#"{{"active":true,"sub":"alice","client_id":"app","iss":"{}","aud":"{}","scope":"other"}}"#,
                world.provider.issuer(),
                portcullis_testkit::IdentityProvider::AUDIENCE
            ),
        ),
    );
    assert!(end_of(&mut stream, TTL).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn without_a_cache_every_stream_asks_at_the_interval_of_the_gate() {
    let world = World::new();
    let config = world.config(world.verifier()).with_stream_check_interval(Duration::from_mins(2));
    let token = world.token("alice");
    let (mut first, mut second) = (open(&config, &token).await, open(&config, &token).await);
    let patience = Duration::from_mins(11);
    let (of_first, of_second) = tokio::join!(end_of(&mut first, patience), end_of(&mut second, patience));
    assert_eq!((of_first, of_second), (None, None));
    assert_eq!(world.introspections(), 2 + 2 * 5, "when they were opened, and after 2, 4, 6, 8 and 10 minutes");
    world.provider.revoke(&token);
    assert_eq!(end_of(&mut first, patience).await, Some(60));
}

#[tokio::test(start_paused = true)]
async fn tr_04_a_stream_whose_token_was_checked_again_ends_at_once_when_it_is_withdrawn() {
    let world = World::new();
    let (config, token) = (world.cached(), world.token("alice"));
    let handle = config.verifier().handle();
    let mut stream = open(&config, &token).await;
    assert_eq!(end_of(&mut stream, TTL * 2).await, None);
    assert!(world.introspections() > 1, "it was checked again");
    let withdrawal = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        handle.invalidate_token(&BearerToken::new(&token).expect("a token")).await;
    };
    let (ended, ()) = tokio::join!(end_of(&mut stream, HOUR), withdrawal);
    assert_eq!(ended, Some(5), "it is woken by the withdrawal");
}
