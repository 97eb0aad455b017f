//! A thousand callers, random drops, failures and jumps of time.

use std::time::Duration;

use portcullis_core::{AccessToken, Clock as _};
use proptest::{prelude::*, strategy::Union};
use tokio::task::JoinHandle;

use crate::{provider::Act, world::World};

#[derive(Clone, Debug)]
enum Event {
    /// So many ask.
    Ask(usize),
    /// So many report the last token they saw, or the one before.
    Report(usize, bool),
    /// So many of those who wait go away.
    Drop(usize),
    /// The next exchange goes so.
    Next(Act),
    Pass(Duration),
    StepBack(u64),
}

/// Exchanges whose outcome is known, and how often each comes.
fn told() -> Vec<(u32, Act)> {
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

/// And those after which nobody can tell.
fn untold() -> Vec<(u32, Act)> {
    told().into_iter().chain([(3, Act::LoseRequest), (3, Act::LoseAnswer)]).collect()
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
    let world = World::new().await;
    let upstream = world.upstream();
    let mut callers: Vec<Caller> = Vec::new();
    let mut seen: Vec<AccessToken> = Vec::new();
    for event in events {
        match event {
            Event::Ask(count) => {
                for _ in 0..count {
                    let (upstream, clock) = (upstream.clone(), world.clock.clone());
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
            Event::Next(act) => world.provider.next(act),
            Event::Pass(duration) => tokio::time::sleep(duration).await,
            Event::StepBack(seconds) => {
                world.clock.set(world.clock.now().saturating_sub(Duration::from_secs(seconds)));
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
    assert_eq!(world.refresher.shutdown().await, 0);
    let (provider, lost) = (&world.provider, world.provider.lost_answers());
    assert_eq!(
        provider.presented_when_settled(),
        0,
        "a refresh token was presented after the provider's last word on it"
    );
    match world.stored().await {
        Some(newest) => assert_eq!(provider.rotations() as u64, newest + lost, "a token that came is not in the store"),
        None => assert_eq!((lost, provider.is_alive("alice")), (1, false), "a failure ended the grant"),
    }
}

fn check(events: Vec<Event>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(live(events));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_thousand_callers_and_chance(events in events(told())) {
        check(events);
    }

    #[test]
    fn a_grant_ends_only_where_an_answer_was_lost(events in events(untold())) {
        check(events);
    }
}
