//! The section of the page about grants.

use std::fmt::Display;

use super::{
    results::{GONE, LATE, REQUESTS, Results},
    scenes::Scene,
    wave::Wave,
};
use crate::{load::contention::Outcome, measure::Measured, report::machine};

/// Returns the section in Markdown.
pub(crate) fn text(results: &Results) -> String {
    let method = include_str!("method.md");
    let (costs, concurrent, scenes) = (costs(results), concurrent(results), scenes(&results.scenes));
    format!(
        "## Grants\n\n{costs}\n### Concurrent requests\n\n{concurrent}\n### Scenarios\n\n{SCENARIOS}\n{scenes}\n{method}\nThe machine: {}.\n",
        machine()
    )
}

const SCENARIOS: &str = "\
    The provider rotates refresh tokens, and ends the grant at the reuse of one. Each cell states the number of token requests, the results of\n\
    the calls, and the number of requests that the resource rejected because their token was dead. A semicolon separates the results of two\n\
    bursts.\n";

fn costs(results: &Results) -> String {
    let mut rows = vec![row(&["", "min", "median", "allocations"]), row(&["---", "---:", "---:", "---:"])];
    rows.push(heading("a fresh token, ns"));
    rows.extend(results.access_token.iter().map(timed));
    rows.push(heading("memory of 100,000 grants, bytes for each"));
    rows.push(fact("in the store, the refresher and a handle", format!("{:.0}", results.memory.whole)));
    rows.push(fact("of that, in the store", format!("{:.0}", results.memory.store)));
    rows.push(heading("10,000 grants expire at once; the provider takes 50 ms and 64 requests at a time"));
    let wave = &results.wave;
    rows.push(fact("until the last has a new token, s", format!("{:.2}", wave.elapsed.as_secs_f64())));
    rows.push(fact("the provider alone, for as many requests, s", format!("{:.2}", wave.provider.as_secs_f64())));
    rows.push(fact("the ideal, s", format!("{:.2}", Wave::ideal().as_secs_f64())));
    rows.push(fact("times the ideal", format!("{:.3}", wave.ratio())));
    rows.push(heading("`SqliteStore` on disk, a second"));
    rows.push(fact("`compare_and_swap`, 8 callers", format!("{:.0}", results.sqlite.swaps)));
    rows.push(fact("`compare_and_swap`, 1 caller", format!("{:.0}", results.sqlite.swaps_of_one)));
    rows.push(fact("4 KiB appended to a file and flushed", format!("{:.0}", results.sqlite.flushes)));
    rows.concat()
}

fn timed(case: &Measured) -> String {
    let allocations = format!("{} ({} B)", case.allocations.count, case.allocations.bytes);
    row(&[&case.name, &format!("{:.0}", case.min), &format!("{:.0}", case.median), &allocations])
}

fn concurrent(results: &Results) -> String {
    let concurrent = &results.concurrent;
    let mut rows = vec![row(&["", "measured", "promised"]), row(&["---", "---:", "---:"])];
    let section = |text: &str| row(&[&format!("**{text}**"), "", ""]);
    let fact = |what: &str, measured: String, promised: &str| row(&[what, &measured, promised]);
    rows.push(section(&format!("{REQUESTS} requests with a new token, the provider takes 50 ms")));
    rows.push(fact("calls of the provider", concurrent.cold.calls.to_string(), "1"));
    rows.push(fact("served", concurrent.cold.served.to_string(), "all"));
    rows.push(fact("the last is served after, round trips", format!("{:.2}", concurrent.cold.round_trips), ""));
    let both = [
        ("the provider's token is dead, and its expiry is known", &concurrent.told, ["0", "1", "1"]),
        ("the provider's token is dead, and its expiry is unknown", &concurrent.untold, ["≤ 1", "1", "≤ 2"]),
    ];
    for ((what, expired, [dead, refreshes, userinfo]), real_time) in both.into_iter().zip(concurrent.real_time) {
        rows.push(section(&format!("{REQUESTS} requests, {what}; the provider takes 10 ms")));
        rows.push(fact("calls of UserInfo with the dead token", expired.dead_calls.to_string(), dead));
        rows.push(fact("refreshes", expired.refreshes.to_string(), refreshes));
        rows.push(fact("calls of UserInfo in all", expired.userinfo_calls.to_string(), userinfo));
        rows.push(fact("served", expired.served.to_string(), "all"));
        rows.push(fact("tools that got the dead token", expired.with_dead_token.to_string(), "0"));
        rows.push(fact("the last is served after, round trips", format!("{:.2}", expired.round_trips), ""));
        rows.push(fact("the same in real time", format!("{real_time:.2}"), "≤ 3.5"));
    }
    for (endpoint, failing) in ["UserInfo", "the token endpoint"].into_iter().zip(&concurrent.failing) {
        rows.push(section(&format!(
            "2 × {REQUESTS} requests in each back-off window, {endpoint} answers 500 after 10 ms"
        )));
        rows.push(fact("calls of the provider in the busiest window", failing.calls_per_window.to_string(), "1"));
        rows.push(fact("answers other than 503 with `Retry-After`", failing.otherwise.to_string(), "0"));
        rows.push(fact("the last is answered after, ms", failing.after.as_millis().to_string(), ""));
    }
    for (when, late) in
        ["while its user is looked up", "after a tool has reported it"].into_iter().zip(&concurrent.late)
    {
        rows.push(section(&format!("{LATE} requests that arrive while a dead token is refreshed, {when}")));
        rows.push(fact("tools that got the dead token", late.with_dead_token.to_string(), "0"));
        rows.push(fact("served", late.served.to_string(), "all"));
        rows.push(fact("refreshes", late.refreshes.to_string(), "1"));
    }
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    rows.push(section(&format!("{GONE} clients that disconnect during a refresh")));
    rows.push(fact("exchanges", concurrent.disconnects.exchanges.to_string(), "1"));
    rows.push(fact("the new refresh token is in the store", yes(concurrent.disconnects.is_saved), "yes"));
    rows.push(fact("the next is served without an exchange", yes(concurrent.disconnects.serves_the_next), "yes"));
    rows.concat()
}

fn scenes(scenes: &[Scene]) -> String {
    let mut rows = vec![row(&["", "scenario", "refresher", "client layer", "rmcp 3.11"]), row(&["---"; 5])];
    rows.extend(scenes.iter().map(|scene| {
        let ours = scene.ours.as_deref().map(told).unwrap_or_default();
        row(&[&scene.letter, scene.what, &ours, &told(&scene.client), &told(&scene.rmcp)])
    }));
    rows.concat()
}

fn told(outcomes: &[Outcome]) -> String {
    outcomes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn row(cells: &[&str]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn heading(text: &str) -> String {
    row(&[&format!("**{text}**"), "", "", ""])
}

fn fact(what: &str, value: impl Display) -> String {
    row(&[what, &value.to_string(), "", ""])
}
