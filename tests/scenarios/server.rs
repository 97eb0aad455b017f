//! The whole server: requests on one token, calls at the provider.

use std::time::Duration;

use portcullis_testkit::Endpoint;

use crate::load::{
    cold::{self, Cold},
    disconnects::{self, Disconnects},
    expired::{self, Expired},
    failing::{self, Failing},
    fixture::Expiry,
    late::{self, Late},
};

const REQUESTS: usize = 1_000;

#[tokio::test(start_paused = true)]
async fn experiment_a_thousand_cold_requests_are_one_call() {
    let expected = Cold { calls: 1, served: REQUESTS, round_trips: 1.0 };
    assert_eq!(cold::run(REQUESTS).await, expected);
}

#[tokio::test(start_paused = true)]
async fn experiment_a_dead_token_whose_expiry_is_known_is_one_refresh_and_one_call() {
    let expected = Expired {
        dead_calls: 0,
        refreshes: 1,
        userinfo_calls: 1,
        served: REQUESTS,
        with_dead_token: 0,
        round_trips: 2.0,
    };
    assert_eq!(expired::run(Expiry::Told, REQUESTS).await, expected);
}

#[tokio::test(start_paused = true)]
async fn experiment_a_dead_token_whose_expiry_is_unknown_costs_one_dead_call_more() {
    let expected = Expired {
        dead_calls: 1,
        refreshes: 1,
        userinfo_calls: 2,
        served: REQUESTS,
        with_dead_token: 0,
        round_trips: 3.0,
    };
    assert_eq!(expired::run(Expiry::Untold, REQUESTS).await, expected);
}

#[tokio::test(start_paused = true)]
async fn experiment_a_failing_provider_is_called_once_in_a_window() {
    for endpoint in [Endpoint::UserInfo, Endpoint::Token] {
        let expected = Failing { calls_per_window: 1, otherwise: 0, after: Duration::from_millis(10) };
        assert_eq!(failing::run(endpoint, REQUESTS).await, expected, "{endpoint:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn experiment_no_late_arrival_gets_the_dead_token() {
    let expected = Late { served: 50, with_dead_token: 0, refreshes: 1 };
    assert_eq!(late::during_resolution(50).await, expected);
    assert_eq!(late::after_a_report(50).await, expected);
}

#[tokio::test(start_paused = true)]
async fn experiment_clients_that_go_away_neither_cancel_nor_repeat_the_refresh() {
    let expected = Disconnects { exchanges: 1, is_saved: true, serves_the_next: true };
    assert_eq!(disconnects::run(250).await, expected);
}

#[tokio::test(start_paused = true)]
async fn experiment_one_call_of_the_provider_takes_what_it_was_told_to() {
    assert_eq!(expired::one_call().await, 1.0);
}
