//! The scenarios, played with the refresher and with the client layer, with the exact numbers of exchanges and the exact outcome for each
//! caller.

use std::time::Duration;

use portcullis::egress::Egress;
use portcullis_testkit::{IdentityProvider, TestClock};

use crate::load::contention::{ClientLayer, Contender, Outcome, Portcullis, SCENARIOS, Scenario, Site, play};

async fn played(scenario: Scenario, contender: &impl Contender) -> Vec<Outcome> {
    let in_memory = |idp: &IdentityProvider| Egress::from_service(idp.clone());
    play(scenario, contender, &Site::new(IdentityProvider::new(), TestClock::new(), in_memory)).await
}

const fn served(exchanges: usize, served: usize, last: u64) -> Outcome {
    let last = Duration::from_millis(last);
    Outcome { exchanges, served, logins: 0, later: 0, dead_calls: 0, last }
}

fn expected(scenario: Scenario) -> Vec<Outcome> {
    match scenario {
        // A token request takes 20 ms, a call of the resource 5 ms.
        Scenario::A => vec![served(1, 100, 25)],
        Scenario::B1 | Scenario::B2 => vec![Outcome { dead_calls: 100, ..served(1, 100, 30) }],
        Scenario::B3 => vec![Outcome { dead_calls: 100, ..served(1, 100, 81) }],
        Scenario::C => vec![served(1, 100, 25), served(0, 100, 5)],
        Scenario::D => vec![Outcome { later: 100, ..served(1, 0, 50) }],
        Scenario::D2 => vec![Outcome { logins: 100, ..served(1, 0, 20) }, Outcome { logins: 100, ..served(0, 0, 0) }],
        Scenario::E => vec![served(1, 100, 5)],
        Scenario::F => vec![served(1, 0, 0), served(0, 10, 5)],
        // The other nine look into the store until the tokens are there, at random intervals.
        Scenario::G1 | Scenario::G2 => vec![served(1, 10, 0)],
        // It was refused: no caller gets it any more, and the new one comes after 2 s.
        Scenario::H1 => vec![served(1, 1, 1810)],
        Scenario::H2 => vec![served(1, 1, 5)],
        Scenario::I => vec![served(1, 100, 25)],
    }
}

/// Without a token, a request is sent nevertheless: the challenge of the resource says where to log in.
fn expected_of_client(scenario: Scenario) -> Vec<Outcome> {
    let mut outcomes = expected(scenario);
    if scenario == Scenario::D2 {
        outcomes.iter_mut().for_each(|outcome| outcome.last += Duration::from_millis(5));
    }
    outcomes
}

#[tokio::test(start_paused = true)]
async fn experiment_scenarios_come_to_exactly_this() {
    check(&Portcullis, expected).await;
}

#[tokio::test(start_paused = true)]
async fn experiment_scenarios_come_to_exactly_this_with_the_client_layer() {
    check(&ClientLayer, expected_of_client).await;
}

async fn check(contender: &impl Contender, expected: fn(Scenario) -> Vec<Outcome>) {
    for (scenario, what) in SCENARIOS {
        let mut outcomes = played(scenario, contender).await;
        if matches!(scenario, Scenario::G1 | Scenario::G2) {
            assert!(outcomes[0].last < Duration::from_secs(1), "{scenario:?}: {what}: {outcomes:?}");
            outcomes[0].last = Duration::ZERO;
        }
        assert_eq!(outcomes, expected(scenario), "{scenario:?}: {what}");
    }
}
