//! Many requests with a token that is not in the cache; the provider takes 50 ms.

use std::time::Duration;

use portcullis_testkit::Endpoint;

use super::{
    concurrent_requests::last,
    fixture::{Expiry, Stack},
};

/// What one call of the provider takes.
const LATENCY: Duration = Duration::from_millis(50);

/// What came of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Cold {
    /// How often the provider was called.
    pub(crate) calls: usize,
    pub(crate) served: usize,
    /// After what time the last was answered, in calls of the provider.
    pub(crate) round_trips: f64,
}

pub(crate) async fn run(requests: usize) -> Cold {
    let stack = Stack::new(Expiry::Told).await;
    stack.set_latency(LATENCY);
    let answers = stack.call_all(requests).await;
    Cold {
        calls: stack.idp.calls(Endpoint::UserInfo) + stack.idp.calls(Endpoint::Token),
        served: answers.iter().filter(|answer| answer.is_served()).count(),
        round_trips: last(&answers).div_duration_f64(LATENCY),
    }
}
