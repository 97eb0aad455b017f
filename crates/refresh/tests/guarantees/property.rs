//! Random events: calls, dropped callers, failures, jumps of time.

use std::time::Duration;

use portcullis_core::{AccessToken, Clock as _};
use proptest::{prelude::*, strategy::Union};
use tokio::task::JoinHandle;

use crate::{fixture::Fixture, provider::Act};

#[derive(Clone, Debug)]
enum Event {
    /// This number of callers asks.
    Ask(usize),
    /// This number of callers reports the last token that they saw, or the one before.
    Report(usize, bool),
    /// This number of waiting callers is dropped.
    Drop(usize),
    /// The provider does this with the next refresh token.
    Next(Act),
    Pass(Duration),
    StepBack(u64),
}

/// Returns acts whose result is known, with their weights.
fn known_results() -> Vec<(u32, Act)> {
    vec![
        (4, Act::Answer),
        (2, Act::Fail { retry_after: None }),
        (1, Act::Fail { retry_after: Some(20) }),
        (1, Act::NotSent),
        (1, Act::Panic),
        (1, Act::Misconfigured),
        (2, Act::Unexplained { accepted: false }),
    ]
}

/// Returns acts whose result is unknown.
fn unknown_results() -> Vec<(u32, Act)> {
    known_results().into_iter().chain([(3, Act::LoseRequest), (3, Act::LoseAnswer)]).collect()
}

fn events(acts: Vec<(u32, Act)>) -> impl Strategy<Value = Vec<Event>> {
    let act = Union::new_weighted(acts.into_iter().map(|(weight, act)| (weight, Just(act))).collect());
    let event = prop_oneof![
        4 => (1..200_usize).prop_map(Event::Ask),
        2 => (1..200_usize, any::<bool>()).prop_map(|(count, old)| Event::Report(count, old)),
        2 => (1..100_usize).prop_map(Event::Drop),
        2 => act.prop_map(Event::Next),
        3 => (1..400_u64).prop_map(|seconds| Event::Pass(Duration::from_secs(seconds))),
        3 => (1..60_u64).prop_map(|millis| Event::Pass(Duration::from_millis(millis))),
        1 => (1..500_u64).prop_map(Event::StepBack),
    ];
    proptest::collection::vec(event, 5..40)
}

type Caller = JoinHandle<Option<AccessToken>>;

async fn live(events: Vec<Event>) {
    let fixture = Fixture::new().await;
    let upstream = fixture.upstream();
    let mut callers: Vec<Caller> = Vec::new();
    let mut seen: Vec<AccessToken> = Vec::new();
    for event in events {
        match event {
            Event::Ask(count) => {
                for _ in 0..count {
                    let (upstream, clock) = (upstream.clone(), fixture.clock.clone());
                    callers.push(tokio::spawn(async move {
                        let token = upstream.access_token().await.ok()?;
                        let is_alive = token.expires_at().is_none_or(|end| clock.now() < end);
                        assert!(is_alive, "a token known to be dead");
                        Some(token)
                    }));
                }
            }
            Event::Report(count, old) => {
                let Some(token) = (if old { seen.first() } else { seen.last() }).cloned() else { continue };
                for _ in 0..count {
                    let (upstream, token) = (upstream.clone(), token.clone());
                    callers.push(tokio::spawn(async move {
                        let renewed = upstream.rejected(&token).await.ok()?;
                        assert!(renewed.generation() > token.generation(), "the refused token came back");
                        Some(renewed)
                    }));
                }
            }
            Event::Drop(count) => callers.drain(..count.min(callers.len())).for_each(|caller| caller.abort()),
            Event::Next(act) => fixture.provider.next(act),
            Event::Pass(duration) => tokio::time::sleep(duration).await,
            Event::StepBack(seconds) => {
                fixture.clock.set(fixture.clock.now().saturating_sub(Duration::from_secs(seconds)));
            }
        }
        if let Ok(token) = upstream.access_token().await {
            seen.retain(|known| known.generation() != token.generation());
            seen.push(token);
        }
    }
    for caller in callers {
        drop(caller.await.expect("no assertion failed"));
    }
    assert_eq!(fixture.refresher.shutdown().await, 0);
    let (provider, lost) = (&fixture.provider, fixture.provider.lost_answers());
    assert_eq!(
        provider.presented_after_result(),
        0,
        "a refresh token was presented again after new tokens or a refusal"
    );
    match fixture.stored().await {
        Some(newest) => assert_eq!(provider.rotations() as u64, newest + lost, "a token that came is not in the store"),
        None => assert_eq!((lost, provider.is_alive("alice")), (1, false), "a failure ended the grant"),
    }
}

fn check(events: Vec<Event>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(live(events));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_events_with_a_thousand_callers(events in events(known_results())) {
        check(events);
    }

    #[test]
    fn a_grant_ends_only_after_a_lost_response(events in events(unknown_results())) {
        check(events);
    }
}
