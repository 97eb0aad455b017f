//! Refresh tokens that are presented again within the grace period: what an operator hears of it.

use std::collections::BTreeMap;

use http::HeaderName;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use portcullis_test_support::Answer;

use crate::{log::Log, world::World};

const FORWARDED: &str = "x-forwarded-for";
const HERE: &str = "192.0.2.1";

async fn behind_a_proxy() -> World {
    World::with(|config| config.with_client_address_header(HeaderName::from_static(FORWARDED))).await
}

async fn refresh(world: &World, token: &str, address: &str) -> Answer {
    let call = world.app().await.refresh(token).with_header(FORWARDED, address);
    let answer = call.await.expect("an answer");
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer
}

/// A rotation from one address whose token is presented again from another one, a moment later.
async fn repeated(world: &World, token: &str, [first, second]: [&str; 2]) -> Answer {
    let next = refresh(world, token, first).await;
    world.pass(20);
    let again = refresh(world, token, second).await;
    assert_eq!(again.refresh_token(), next.refresh_token(), "the same again");
    world.pass(600);
    next
}

/// What was counted since the last time, by sign.
fn suspected(snapshotter: &Snapshotter) -> BTreeMap<String, u64> {
    let counted = snapshotter.snapshot().into_vec().into_iter().filter_map(|(key, _, _, value)| {
        let DebugValue::Counter(count) = value else { return None };
        let sign = key.key().labels().next().map(|label| label.value().to_owned())?;
        (key.key().name() == "portcullis_bridge_refresh_reuse_suspected_total" && count > 0).then_some((sign, count))
    });
    counted.collect()
}

fn expected<const N: usize>(counted: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counted.map(|(sign, count)| (sign.to_owned(), count)).into()
}

/// The lines of the log that name this client as one whose token is presented again.
fn lines(from: usize) -> Vec<String> {
    let text = Log::global().text();
    let lines = text[from..].lines().filter(|line| line.contains("refresh token repeated as a stolen copy would be"));
    lines.filter(|line| line.contains("198.51.100.") || line.contains("203.0.113.")).map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn a_session_that_needs_the_grace_period_at_every_rotation_is_counted_and_logged() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let start = Log::global().text().len();
    let world = behind_a_proxy().await;
    let mut tokens = world.log_in().await;
    for _ in 0..2 {
        tokens = repeated(&world, tokens.refresh_token(), ["198.51.100.1", "198.51.100.1"]).await;
    }
    assert_eq!(suspected(&snapshotter), expected([]), "answers get lost");
    for _ in 0..2 {
        tokens = repeated(&world, tokens.refresh_token(), ["198.51.100.1", "198.51.100.1"]).await;
    }
    assert_eq!(suspected(&snapshotter), expected([("every_rotation", 2)]), "the third in a row, and the fourth");
    let logged = lines(start);
    assert_eq!(logged.len(), 1, "once an hour: {logged:?}");
    for part in ["WARN", "signs=\"every_rotation\"", "in_a_row=3", "client_id=\"app\"", "198.51.100.1"] {
        assert!(logged[0].contains(part), "{part}: {}", logged[0]);
    }
    assert!(!logged[0].contains(tokens.refresh_token()));
    tokens = refresh(&world, tokens.refresh_token(), "198.51.100.1").await;
    world.pass(600);
    repeated(&world, tokens.refresh_token(), ["198.51.100.1", "198.51.100.1"]).await;
    assert_eq!(suspected(&snapshotter), expected([]), "one rotation without it, and it begins anew");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_is_presented_from_two_addresses_is_counted_and_logged() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let start = Log::global().text().len();
    let world = behind_a_proxy().await;
    let tokens = world.log_in().await;
    let next = refresh(&world, tokens.refresh_token(), "203.0.113.1").await;
    for address in ["203.0.113.2", "203.0.113.2", "203.0.113.3"] {
        refresh(&world, tokens.refresh_token(), address).await;
    }
    assert_eq!(suspected(&snapshotter), expected([("two_addresses", 1)]), "once a rotation");
    let logged = lines(start);
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].contains("203.0.113.1") && logged[0].contains("203.0.113.2"), "{}", logged[0]);
    // One network is one address, and one that is not known is no other.
    let next = refresh(&world, next.refresh_token(), HERE).await;
    world.pass(600);
    let next = repeated(&world, next.refresh_token(), ["2001:db8:0:1::1", "2001:db8:0:1::2"]).await;
    repeated(&world, next.refresh_token(), [HERE, "unknown"]).await;
    assert_eq!(suspected(&snapshotter), expected([]));
}

#[tokio::test(start_paused = true)]
async fn repetitions_are_counted_by_session_whichever_process_answers() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let mut world = behind_a_proxy().await;
    let mut tokens = world.log_in().await;
    for _ in 0..3 {
        let another = world.another(|config| config);
        world = world.replaced_by(another);
        tokens = repeated(&world, tokens.refresh_token(), [HERE, HERE]).await;
    }
    assert_eq!(suspected(&snapshotter), expected([("every_rotation", 1)]));
}
