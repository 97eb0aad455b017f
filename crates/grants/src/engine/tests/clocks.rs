//! The state machine when clocks step, and when there is something to lose.

use std::time::Duration;

use portcullis_core::{Generation, UnixTime};
use tokio::time::Instant;

use super::{
    super::{Now, state::Slot},
    support::{LIFETIME, Number, first, tuning},
    world::{Fate, World},
};

#[test]
fn a_clock_that_is_put_back_prolongs_nothing() {
    let mut world = World::new(false);
    world.now.calendar = world.now.calendar.saturating_sub(Duration::from_secs(3600));
    world.now.monotonic += LIFETIME;
    world.ask(None);
    assert!(world.under_way.is_some());
}

#[test]
fn a_token_from_the_future_lives_no_longer_than_it_was_said_to() {
    let (monotonic, calendar) = (Instant::now(), UnixTime::from_secs(1_800_000_000));
    let mut slot = Slot::<Number>::new();
    slot.settle(Now { monotonic, calendar }, &first(calendar + Duration::from_secs(3600)), tuning(false));
    assert!(slot.peek(Now { monotonic, calendar }, None).is_some());
    assert!(slot.peek(Now { monotonic: monotonic + LIFETIME, calendar }, None).is_none());
}

#[test]
fn a_machine_that_slept_looks_at_the_calendar() {
    let mut world = World::new(false);
    world.now.calendar = world.now.calendar + LIFETIME;
    world.ask(None);
    assert!(world.under_way.is_some());
}

#[test]
fn a_token_that_may_be_spent_is_spared_while_there_is_another_way() {
    for spare in [true, false] {
        let mut world = World::new(spare);
        world.now.monotonic += Duration::from_secs(91);
        world.now.calendar = world.now.calendar + Duration::from_secs(91);
        world.ask(None);
        world.land(Fate::Ambiguous);
        world.now.monotonic += Duration::from_secs(2);
        world.ask(None);
        assert_eq!(world.under_way.is_none(), spare, "early");
        if spare {
            world.now.monotonic += Duration::from_secs(10);
            world.ask(None);
            assert!(world.under_way.is_some(), "it is the only hope left");
        }
    }
}

#[test]
fn a_fresh_token_that_is_refused_again_starts_no_chain_of_exchanges() {
    let mut world = World::new(false);
    world.ask(Some(Generation::new(0)));
    world.land(Fate::Exchanged { expires_in: Some(100) });
    world.ask(Some(Generation::new(1)));
    assert!(world.under_way.is_none(), "at once");
    world.ask(None);
    world.now.monotonic += Duration::from_secs(11);
    world.ask(Some(Generation::new(1)));
    assert!(world.under_way.is_some(), "after a while");
}
