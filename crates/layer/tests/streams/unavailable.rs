//! A provider that is unavailable when the token of a stream has to be verified again.

use std::time::Duration;

use portcullis_testkit::{Endpoint, Fault};
use portcullis_verify::Cache;

use super::support::{TTL, World, end_of, open};

const MINUTE: Duration = Duration::from_mins(1);

/// Makes the provider respond to every request with a server error.
fn break_down(world: &World) {
    world.provider.set_fault(Endpoint::Introspection, Fault::status(503));
}

#[tokio::test(start_paused = true)]
async fn a_stream_outlives_an_outage_that_is_over_within_five_minutes_of_its_check() {
    let world = World::new();
    let mut stream = open(&world.cached(), &world.token("alice")).await;
    break_down(&world);
    assert_eq!(end_of(&mut stream, TTL + 4 * MINUTE).await, None, "the check fails, and the stream goes on");
    world.provider.heal(Endpoint::Introspection);
    assert_eq!(end_of(&mut stream, 30 * MINUTE).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_token_cannot_be_checked_ends_after_five_minutes() {
    let world = World::new();
    let mut stream = open(&world.cached(), &world.token("alice")).await;
    break_down(&world);
    let ended = end_of(&mut stream, 30 * MINUTE).await.expect("an end");
    let (earliest, latest) = (TTL.mul_f64(0.9) + 5 * MINUTE, TTL + 5 * MINUTE);
    assert!((earliest.as_secs()..=latest.as_secs()).contains(&ended), "{ended} s");
    // One call when the stream was opened, then one for each back-off window of the provider: 1, 2, 4, 8, 16, then 30 s.
    assert!((10..=1 + 15).contains(&world.introspections()), "{}", world.introspections());
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_token_was_revoked_during_an_outage_ends_when_that_is_over() {
    let world = World::new();
    let token = world.token("alice");
    let mut stream = open(&world.cached(), &token).await;
    break_down(&world);
    assert_eq!(end_of(&mut stream, TTL + MINUTE).await, None);
    world.provider.revoke(&token);
    world.provider.heal(Endpoint::Introspection);
    assert!(end_of(&mut stream, MINUTE).await.is_some(), "at the next check");
}

#[tokio::test(start_paused = true)]
async fn stale_if_error_keeps_streams_for_as_long_as_it_keeps_requests_and_five_minutes_more() {
    let world = World::new();
    let cache = Cache::around(world.verifier(), world.cache().with_stale_if_error(20 * MINUTE));
    let mut stream = open(&world.config(cache), &world.token("alice")).await;
    break_down(&world);
    let ended = end_of(&mut stream, 60 * MINUTE).await.expect("an end");
    let (earliest, latest) = (TTL.mul_f64(0.9) + 25 * MINUTE, TTL + 25 * MINUTE + Duration::from_secs(2));
    assert!((earliest.as_secs()..=latest.as_secs()).contains(&ended), "{ended} s");
}
