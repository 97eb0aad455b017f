//! The results of the bridge as one flat JSON object.

use serde_json::{Map, Value};

use super::results::Results;

/// Returns the JSON object.
pub(crate) fn numbers(results: &Results) -> Map<String, Value> {
    let numbers = [
        ("logins_per_s", results.logins),
        ("logins_with_provider_per_s", results.logins_with_provider),
        ("refreshes_per_s", results.refreshes),
        ("bearer_cold_per_s", results.bearer_cold),
        ("bearer_warm_per_s", results.bearer_warm),
        ("rss_mb_at_100000_sessions", results.rss),
    ];
    numbers.into_iter().map(|(name, number)| (name.to_owned(), number.round().into())).collect()
}
