//! The bounds that the project guarantees for the authentication layer, and the results as one flat JSON object.

use serde_json::{Map, Value};

use crate::{
    Results, hits,
    measure::{Measured, find},
    peers, population,
};

/// A bound on a result.
pub(crate) struct Promise {
    /// The name of the result.
    pub(crate) what: &'static str,
    /// The measured value.
    pub(crate) measured: f64,
    /// The bound.
    pub(crate) bound: f64,
    /// Whether the bound is a minimum; otherwise it is a maximum.
    pub(crate) at_least: bool,
}

impl Promise {
    /// Reports whether the measured value is within the bound.
    pub(crate) fn is_kept(&self) -> bool {
        if self.at_least { self.measured >= self.bound } else { self.measured <= self.bound }
    }
}

/// Returns the time that a case adds to its baseline, in nanoseconds.
pub(crate) fn added(measured: &[Measured], case: &str, bare: &str) -> f64 {
    find(measured, case).min - find(measured, bare).min
}

/// Returns the time that the fastest peer with RS256 adds to its router, and the name of the peer.
pub(crate) fn fastest_peer(measured: &[Measured]) -> (&'static str, f64) {
    let all = peers::VERIFYING.map(|(name, bare)| (name, added(measured, name, bare)));
    all.into_iter().min_by(|one, other| one.1.total_cmp(&other.1)).expect("there are peers")
}

/// Returns the JSON object.
pub(crate) fn numbers(results: &Results) -> Map<String, Value> {
    let hits = &results.hits;
    let at = |contexts| find(&results.population, &population::name(contexts)).min;
    let allocations =
        find(hits, hits::HIT_OPAQUE).allocations.count.saturating_sub(find(hits, hits::BARE).allocations.count);
    let throughput = crate::median(&results.throughput[0].ratios);
    let calls_per_window = results.outages.iter().map(|outage| outage.calls_per_window).max();
    let whole = |number: f64| Value::from((number * 10.0).round() / 10.0);
    Map::from_iter(
        [
            ("hit_opaque_added_ns", whole(added(hits, hits::HIT_OPAQUE, hits::BARE))),
            ("hit_jwt_added_ns", whole(added(hits, hits::HIT_JWT, hits::BARE))),
            ("sha256_opaque_ns", whole(find(hits, hits::SHA256_OPAQUE).min)),
            ("sha256_jwt_ns", whole(find(hits, hits::SHA256_JWT).min)),
            ("router_hit_opaque_added_ns", whole(added(hits, hits::ROUTER_HIT_OPAQUE, hits::BARE_ROUTER))),
            ("router_tower_http_bearer_added_ns", whole(added(hits, peers::STATIC_BEARER, hits::BARE_ROUTER))),
            ("hit_allocs_added", allocations.into()),
            ("fastest_peer_rs256_added_ns", whole(fastest_peer(hits).1)),
            ("hit_at_1_ns", whole(at(1))),
            ("hit_at_1000000_ns", whole(at(1_000_000))),
            ("bytes_per_context", whole(results.bytes_per_context)),
            ("stampede_cold_calls", results.stampede.cold_calls.into()),
            ("stampede_disconnect_calls", results.stampede.disconnect_calls.into()),
            ("failing_provider_calls_per_window", calls_per_window.into()),
            ("unknown_kid_fetches_per_cooldown", results.unknown_kid_fetches.into()),
            ("http_throughput_ratio", Value::from((throughput * 1e4).round() / 1e4)),
        ]
        .map(|(name, number)| (name.to_owned(), number)),
    )
}

/// Returns the bounds.
pub(crate) fn promises(numbers: &Map<String, Value>) -> Vec<Promise> {
    let number = |name: &str| numbers.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let at_most = |what, measured, bound| Promise { what, measured, bound, at_least: false };
    let at_least = |what, measured, bound| Promise { what, measured, bound, at_least: true };
    let (opaque, jwt) = (number("hit_opaque_added_ns"), number("hit_jwt_added_ns"));
    vec![
        at_most("a hit on an opaque token adds its SHA-256 + 300 ns", opaque, number("sha256_opaque_ns") + 300.0),
        at_most("a hit on a JWT adds its SHA-256 + 300 ns", jwt, number("sha256_jwt_ns") + 300.0),
        at_most(
            "in a router, twice what a static bearer check adds, ns",
            number("router_hit_opaque_added_ns"),
            2.0 * number("router_tower_http_bearer_added_ns"),
        ),
        at_most("allocations added by a hit", number("hit_allocs_added"), 5.0),
        at_least(
            "times cheaper than the fastest peer's RS256 check",
            number("fastest_peer_rs256_added_ns") / jwt,
            20.0,
        ),
        at_most(
            "a hit among 1,000,000 contexts, twice a hit on the only one, ns",
            number("hit_at_1000000_ns"),
            2.0 * number("hit_at_1_ns"),
        ),
        at_most("calls for one cold token, 10,000 at once", number("stampede_cold_calls"), 1.0),
        at_most("calls when half of the callers disconnect", number("stampede_disconnect_calls"), 1.0),
        at_most("calls to a failing provider in a back-off window", number("failing_provider_calls_per_window"), 1.0),
        at_most("key-set fetches in a cool-down", number("unknown_kid_fetches_per_cooldown"), 1.0),
        at_least("of the throughput without the gate, opaque token", number("http_throughput_ratio"), 0.97),
    ]
}
