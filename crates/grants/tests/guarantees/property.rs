//! A thousand callers, random drops, failures and jumps of time.

use std::time::Duration;

use portcullis_core::{AccessToken, Clock as _};
use proptest::prelude::*;
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

fn event() -> impl Strategy<Value = Event> {
    let act = prop_oneof![
        4 => Just(Act::Answer),
        2 => Just(Act::Fail { retry_after: None }),
        1 => Just(Act::Fail { retry_after: Some(20) }),
        1 => Just(Act::NotSent),
        1 => Just(Act::OmitRefreshToken),
        1 => Just(Act::Panic),
        1 => Just(Act::Misconfigured),
    ];
    // An omitted refresh token of a provider that has rotated is a trap of another kind.
    let act = act.prop_map(|act| if matches!(act, Act::OmitRefreshToken) { Act::Answer } else { act });
    prop_oneof![
        4 => (1..200_usize).prop_map(Event::Ask),
        2 => (1..200_usize, any::<bool>()).prop_map(|(count, old)| Event::Report(count, old)),
        2 => (1..100_usize).prop_map(Event::Drop),
        2 => act.prop_map(Event::Next),
        3 => (1..400_u64).prop_map(|seconds| Event::Pass(Duration::from_secs(seconds))),
        3 => (1..60_u64).prop_map(|millis| Event::Pass(Duration::from_millis(millis))),
        1 => (1..500_u64).prop_map(Event::StepBack),
    ]
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
    let newest = world.stored().await.expect("no failure ended the grant");
    assert!(world.provider.is_alive("alice"), "a refresh token was presented twice");
    assert_eq!(
        world.provider.rotations() as u64,
        newest,
        "one exchange per generation, and the last one is in the store"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_thousand_callers_and_chance(events in proptest::collection::vec(event(), 5..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(live(events));
    }
}
