//! A thousand callers, in random orders of calls, dropped callers, failures and jumps of the clocks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use portcullis_client::{AccessToken, Generation};
use portcullis_core::Clock as _;
use proptest::{prelude::*, strategy::Union};
use tokio::task::JoinHandle;

use crate::{
    fixture::Fixture,
    server::{Act, Kind, invalid_token},
};

#[derive(Clone, Debug)]
enum Event {
    /// This number of callers asks.
    Ask(usize),
    /// This number of callers reports the last token that they saw, or the one before.
    Report(usize, bool),
    /// A caller marks the last token as refused.
    Invalidate,
    /// This number of waiting callers is dropped.
    Drop(usize),
    /// The server does this with the next request.
    Next(Act),
    /// The application logs in.
    Login,
    Pass(Duration),
    StepBack(u64),
    StepForward(u64),
}

fn known_results() -> Vec<(u32, Act)> {
    vec![
        (4, Act::Answer),
        (1, Act::OmitRefreshToken),
        (2, Act::Fail { retry_after: None }),
        (1, Act::Fail { retry_after: Some(20) }),
        (1, Act::NotSent),
        (1, Act::Panic),
        (1, Act::Misconfigured),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let acts = known_results().into_iter().chain([(2, Act::LoseRequest), (2, Act::LoseAnswer), (1, Act::Refuse)]);
    let act = Union::new_weighted(acts.map(|(weight, act)| (weight, Just(act))).collect());
    let event = prop_oneof![
        4 => (1..1000_usize).prop_map(Event::Ask),
        2 => (1..1000_usize, any::<bool>()).prop_map(|(count, old)| Event::Report(count, old)),
        1 => Just(Event::Invalidate),
        2 => (1..900_usize).prop_map(Event::Drop),
        2 => act.prop_map(Event::Next),
        1 => Just(Event::Login),
        3 => (1..400_u64).prop_map(|seconds| Event::Pass(Duration::from_secs(seconds))),
        3 => (1..60_u64).prop_map(|millis| Event::Pass(Duration::from_millis(millis))),
        1 => (1..500_u64).prop_map(Event::StepBack),
        1 => (1..500_u64).prop_map(Event::StepForward),
    ];
    proptest::collection::vec(event, 5..30)
}

async fn live(kind: Kind, events: Vec<Event>) {
    let (fixture, first) = Fixture::logged_in(kind).await;
    let issued_before = fixture.server.state().last;
    // Also those that no caller sees, because a refusal ends them.
    let newest = Arc::new(AtomicU64::new(first.generation().number()));
    let (mut snapshots, seen_newest) = (fixture.manager.subscribe(), Arc::clone(&newest));
    let watcher = tokio::spawn(async move {
        while snapshots.changed().await.is_ok() {
            let generation = snapshots.borrow_and_update().generation;
            seen_newest.fetch_max(generation.map_or(0, Generation::number), Ordering::SeqCst);
        }
    });
    let mut callers: Vec<JoinHandle<()>> = Vec::new();
    let mut seen: Vec<AccessToken> = vec![first];
    let mut logins = 0;
    for event in events {
        match event {
            Event::Ask(count) => {
                for _ in 0..count {
                    let (manager, clock, server) =
                        (fixture.manager.clone(), fixture.clock.clone(), fixture.server.clone());
                    callers.push(tokio::spawn(async move {
                        let Ok(token) = manager.acquire().await else { return };
                        let is_alive = token.expires_at().is_none_or(|end| clock.now() < end);
                        assert!(is_alive, "a token known to be dead");
                        // A calendar that is set back prolongs nothing; the response was on its way for a moment.
                        assert!(server.age(&token) <= Duration::from_secs(301), "a token older than its lifetime");
                    }));
                }
            }
            Event::Report(count, old) => {
                let Some(token) = (if old { seen.first() } else { seen.last() }).cloned() else { continue };
                for _ in 0..count {
                    let (manager, token) = (fixture.manager.clone(), token.clone());
                    callers.push(tokio::spawn(async move {
                        let Ok(renewed) = manager.rejected(&token, &invalid_token()).await else { return };
                        assert_ne!(renewed.expose_secret(), token.expose_secret(), "the refused token came back");
                    }));
                }
            }
            Event::Invalidate => {
                fixture.manager.invalidate_if(seen.last().expect("a token"));
            }
            Event::Drop(count) => callers.drain(..count.min(callers.len())).for_each(|caller| caller.abort()),
            Event::Next(act) => fixture.server.next(act),
            Event::Login => {
                logins += 1;
                let manager = fixture.manager.clone();
                callers.push(tokio::spawn(async move { drop(manager.login(&Default::default()).await) }));
            }
            Event::Pass(duration) => tokio::time::sleep(duration).await,
            Event::StepBack(seconds) => fixture.clock.step_back(Duration::from_secs(seconds)),
            Event::StepForward(seconds) => fixture.clock.advance(Duration::from_secs(seconds)),
        }
        if let Ok(token) = fixture.manager.acquire().await {
            seen.retain(|known| known.generation() != token.generation());
            seen.push(token);
        }
        assert!(fixture.server.state().running <= 2, "an exchange and a login");
    }
    for caller in callers {
        let result = caller.await;
        assert!(result.as_ref().err().is_none_or(tokio::task::JoinError::is_cancelled), "{result:?}");
    }
    assert_eq!(fixture.manager.shutdown().await, 0);
    watcher.abort();
    let last = fixture.manager.snapshot().generation.map_or(0, Generation::number);
    let generation = newest.load(Ordering::SeqCst).max(last);
    let state = fixture.server.state();
    assert_eq!(state.presented_after_result, 0, "a refresh token was presented again after new tokens or a refusal");
    let answered = state.last - issued_before - u64::try_from(state.lost_answers).expect("few");
    // A login may supersede the exchange that was in progress.
    assert!(answered <= generation + logins, "more exchanges than generations");
}

fn check(kind: Kind, events: Vec<Event>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(live(kind, events));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_events_of_a_user_who_logs_in(events in events()) {
        check(Kind::User, events);
    }

    #[test]
    fn random_events_of_a_client_without_refresh_tokens(events in events()) {
        check(Kind::Client, events);
    }

    #[test]
    fn random_events_of_a_client_with_refresh_tokens(events in events()) {
        check(Kind::Both, events);
    }
}
