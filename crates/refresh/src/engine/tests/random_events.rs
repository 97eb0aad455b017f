//! The state machine against random orders of events.

use std::time::Duration;

use portcullis_core::{AuthError, Generation, Reason};
use proptest::{collection::vec, prelude::*};

use super::{
    super::state::Row,
    reference::{Event, Outcome, Reference},
};

fn event() -> impl Strategy<Value = Event> {
    let outcome = prop_oneof![
        6 => prop_oneof![Just(None), Just(Some(0)), (1..200_u64).prop_map(Some)]
            .prop_map(|expires_in| Outcome::Refreshed { expires_in }),
        2 => Just(Outcome::Transient),
        2 => Just(Outcome::Ambiguous),
        1 => Just(Outcome::Refused),
        3 => any::<bool>().prop_map(|accepted| Outcome::Unexplained { accepted }),
        1 => Just(Outcome::Deferred),
    ];
    prop_oneof![
        6 => Just(Event::Ask),
        3 => (0..3_u64).prop_map(Event::Report),
        3 => (0..120_u64).prop_map(Event::Pass),
        1 => (-5000..5000_i64).prop_map(Event::Step),
        6 => outcome.prop_map(Event::Complete),
        1 => (0..3_u64).prop_map(Event::Install),
        1 => prop_oneof![9 => Just(Event::Ask), 1 => Just(Event::End)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_state_machine_agrees_with_the_reference_for_any_order_of_events(defer in any::<bool>(), events in vec(event(), 1..120)) {
        let mut grant = Reference::new(defer);
        for event in events {
            match event {
                Event::Ask => grant.ask(None),
                Event::Report(ago) => {
                    let generation = grant.current.generation().number().saturating_sub(ago);
                    grant.ask(Some(Generation::new(generation)));
                }
                Event::Pass(seconds) => {
                    grant.now.monotonic += Duration::from_secs(seconds);
                    grant.now.calendar = grant.now.calendar + Duration::from_secs(seconds);
                }
                Event::Step(seconds) if seconds < 0 => {
                    grant.now.calendar = grant.now.calendar.saturating_sub(Duration::from_secs(seconds.unsigned_abs()));
                }
                Event::Step(seconds) => grant.now.calendar = grant.now.calendar + Duration::from_secs(seconds.unsigned_abs()),
                Event::Complete(fate) => grant.complete(fate),
                Event::Install(ahead) => grant.install(ahead),
                Event::End => {
                    drop(grant.state.end(AuthError::new(Reason::GrantEnded), Row::Removed));
                    grant.ended = true;
                }
            }
        }
    }
}
