//! The scenarios, played with the refresher and with the client layer, with the exact numbers of exchanges and the exact outcome for each
//! caller.

use std::time::Duration;

use portcullis::egress::{Egress, EgressConfig};
use portcullis_testkit::{IdentityProvider, TestClock};

use crate::load::contention::{
    ClientLayer, Contender, MCP_SCENARIOS, McpScenario, Outcome, Portcullis, Rmcp, SCENARIOS, Scenario, Site, play,
    play_mcp,
};

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

#[tokio::test(start_paused = true)]
async fn experiment_scenarios_of_mcp_clients_come_to_exactly_this_with_the_client_layer() {
    for (scenario, what) in MCP_SCENARIOS {
        let site = Site::new(IdentityProvider::new(), TestClock::new(), |idp| Egress::from_service(idp.clone()));
        let outcomes = play_mcp(scenario, &ClientLayer, &site).await;
        let expected = match scenario {
            McpScenario::J => vec![served(1, 0, 0), served(0, 10, 5)],
            // The transport has 16 requests in progress at a time.
            McpScenario::K => vec![Outcome { dead_calls: 16, ..served(1, 100, 60) }],
            McpScenario::L => vec![served(1, 100, 25)],
        };
        assert_eq!(outcomes, expected, "{scenario:?}: {what}");
    }
}

/// What the table of the benchmarks says about rmcp: of each burst the exchanges, and how many calls were served. When it fails after an update
/// of rmcp, the table is out of date.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn experiment_scenarios_with_rmcps_own_client() {
    let site = async || {
        let idp = IdentityProvider::new();
        let running = idp.serve().await.expect("a port");
        let egress = Egress::new(EgressConfig::new().with_loopback_allowed()).expect("a way out");
        (Site::new(idp, TestClock::new(), |_| egress), running)
    };
    // How many calls precede the first refresh, and which of them outlive their token, depends on the processors.
    let is_close = |found: usize, expected: usize| found >= expected.div_ceil(4) && found <= expected + expected / 4;
    let check = |what: &str, found: &[Outcome], expected: &[(usize, usize)]| {
        let mut bursts = found.iter().zip(expected);
        let is_expected = bursts.all(|(found, (exchanges, served))| {
            is_close(found.exchanges, *exchanges) && found.served.abs_diff(*served) <= 5 + served / 4
        });
        assert!(is_expected, "{what}: {found:?}, not {expected:?}");
    };
    for (scenario, what) in MCP_SCENARIOS {
        let (site, _running) = site().await;
        let outcomes = play_mcp(scenario, &Rmcp, &site).await;
        let expected = match scenario {
            // The transport has told the server that the request is cancelled, which is another refresh: of a spent token, so that the login ends.
            McpScenario::J => vec![(2, 0), (10, 0)],
            McpScenario::K => vec![(16, 100)],
            McpScenario::L => vec![(100, 0)],
        };
        check(&format!("{scenario:?}: {what}"), &outcomes, &expected);
    }
    // Scenario I takes half a minute of real time.
    for (scenario, what) in SCENARIOS.into_iter().filter(|(scenario, _)| *scenario != Scenario::I) {
        let expected = match scenario {
            Scenario::A => vec![(1, 100)],
            Scenario::B1 | Scenario::B2 | Scenario::I => vec![(100, 100)],
            Scenario::B3 => vec![(100, 1)],
            Scenario::C => vec![(1, 100), (0, 100)],
            Scenario::D | Scenario::E => vec![(100, 0)],
            Scenario::D2 => vec![(100, 0), (100, 0)],
            Scenario::F => vec![(1, 0), (10, 0)],
            Scenario::G1 => vec![(11, 0)],
            Scenario::G2 => vec![(10, 10)],
            Scenario::H1 | Scenario::H2 => vec![(1, 1)],
        };
        let (site, _running) = site().await;
        check(&format!("{scenario:?}: {what}"), &play(scenario, &Rmcp, &site).await, &expected);
    }
}
