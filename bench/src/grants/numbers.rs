//! The results of grants as one flat JSON object.

use serde_json::{Map, Value};

use super::{access_token, results::Results};
use crate::measure::find;

/// Returns the JSON object.
pub(crate) fn numbers(results: &Results) -> Map<String, Value> {
    let concurrent = &results.concurrent;
    let fresh = find(&results.access_token, access_token::ACCESS_TOKEN);
    let refreshes = concurrent.told.refreshes.max(concurrent.untold.refreshes);
    let round_trips = concurrent.real_time[0].max(concurrent.real_time[1]);
    let calls_per_window = concurrent.failing.iter().map(|failing| failing.calls_per_window).max();
    let late = concurrent.late.iter().map(|late| late.with_dead_token).max();
    Map::from_iter(
        [
            ("access_token_fresh_ns", rounded(fresh.min, 1)),
            ("access_token_fresh_allocs", fresh.allocations.count.into()),
            ("expiry_wave_ideal_ratio", rounded(results.wave.ratio(), 3)),
            ("sqlite_cas_per_s", rounded(results.sqlite.swaps, 0)),
            ("bytes_per_grant", rounded(results.memory.whole, 0)),
            ("cold_calls", concurrent.cold.calls.into()),
            ("expired_known_dead_calls", concurrent.told.dead_calls.into()),
            ("expired_unknown_dead_calls", concurrent.untold.dead_calls.into()),
            ("expired_refreshes", refreshes.into()),
            ("expired_userinfo_calls", concurrent.told.userinfo_calls.into()),
            ("expired_wall_round_trips", rounded(round_trips, 2)),
            ("provider_500_calls_per_window", calls_per_window.into()),
            ("late_arrivals_with_dead_token", late.into()),
            ("disconnect_exchanges", concurrent.disconnects.exchanges.into()),
        ]
        .map(|(name, number)| (name.to_owned(), number)),
    )
}

fn rounded(number: f64, digits: i32) -> Value {
    let unit = 10_f64.powi(digits);
    Value::from((number * unit).round() / unit)
}
