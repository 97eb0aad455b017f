//! The state machine against every order of events that chance finds.

use std::time::Duration;

use portcullis_core::{AuthError, Generation, Reason};
use proptest::{collection::vec, prelude::*};

use super::world::{Event, Fate, World};

fn event() -> impl Strategy<Value = Event> {
    let fate = prop_oneof![
        6 => prop_oneof![Just(None), Just(Some(0)), (1..200_u64).prop_map(Some)]
            .prop_map(|expires_in| Fate::Exchanged { expires_in }),
        2 => Just(Fate::Transient),
        2 => Just(Fate::Ambiguous),
        1 => Just(Fate::Refused),
        3 => any::<bool>().prop_map(|accepted| Fate::Unexplained { accepted }),
        1 => Just(Fate::Spared),
    ];
    prop_oneof![
        6 => Just(Event::Ask),
        3 => (0..3_u64).prop_map(Event::Refuse),
        3 => (0..120_u64).prop_map(Event::Pass),
        1 => (-5000..5000_i64).prop_map(Event::Step),
        6 => fate.prop_map(Event::Land),
        1 => (0..3_u64).prop_map(Event::Settle),
        1 => prop_oneof![9 => Just(Event::Ask), 1 => Just(Event::End)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_whatever_order_things_happen(spare in any::<bool>(), events in vec(event(), 1..120)) {
        let mut world = World::new(spare);
        for event in events {
            match event {
                Event::Ask => world.ask(None),
                Event::Refuse(ago) => {
                    let generation = world.current.generation().number().saturating_sub(ago);
                    world.ask(Some(Generation::new(generation)));
                }
                Event::Pass(seconds) => {
                    world.now.monotonic += Duration::from_secs(seconds);
                    world.now.calendar = world.now.calendar + Duration::from_secs(seconds);
                }
                Event::Step(seconds) if seconds < 0 => {
                    world.now.calendar = world.now.calendar.saturating_sub(Duration::from_secs(seconds.unsigned_abs()));
                }
                Event::Step(seconds) => world.now.calendar = world.now.calendar + Duration::from_secs(seconds.unsigned_abs()),
                Event::Land(fate) => world.land(fate),
                Event::Settle(ahead) => world.settle(ahead),
                Event::End => {
                    drop(world.slot.end(AuthError::new(Reason::GrantEnded), false));
                    world.ended = true;
                }
            }
        }
    }
}
