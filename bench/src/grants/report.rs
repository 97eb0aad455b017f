//! The part of the page that is about grants.

use std::fmt::Display;

use super::{
    results::{GONE, LATE, REQUESTS, Results},
    scenes::Scene,
    wave::Wave,
};
use crate::{load::contention::Outcome, measure::Measured, report::machine};

/// All of it, in Markdown.
pub(crate) fn text(results: &Results) -> String {
    let method = include_str!("method.md");
    let (costs, crowds, scenes) = (costs(results), crowds(results), scenes(&results.scenes));
    format!(
        "## Grants\n\n{costs}\n### Crowds at a provider\n\n{crowds}\n### Scenarios\n\n{SCENARIOS}\n{scenes}\n{method}\nThe machine: {}.\n",
        machine()
    )
}

const SCENARIOS: &str = "\
    A provider whose refresh tokens are good once, and end the grant when they come twice. Each cell says how many requests came\n\
    to the token endpoint, what the calls got, and how many requests the resource refused because their token was dead. What\n\
    comes in two bursts is divided by a semicolon.\n";

fn costs(results: &Results) -> String {
    let mut rows = vec![row(&["", "min", "median", "allocations"]), row(&["---", "---:", "---:", "---:"])];
    rows.push(heading("a token at hand, ns"));
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

fn crowds(results: &Results) -> String {
    let crowds = &results.crowds;
    let mut rows = vec![row(&["", "measured", "promised"]), row(&["---", "---:", "---:"])];
    let section = |text: &str| row(&[&format!("**{text}**"), "", ""]);
    let fact = |what: &str, measured: String, promised: &str| row(&[what, &measured, promised]);
    rows.push(section(&format!("{REQUESTS} requests on a token never seen, the provider takes 50 ms")));
    rows.push(fact("calls of the provider", crowds.cold.calls.to_string(), "1"));
    rows.push(fact("served", crowds.cold.served.to_string(), "all"));
    rows.push(fact("the last is served after, round trips", format!("{:.2}", crowds.cold.round_trips), ""));
    let both = [
        ("the provider's token has expired, and that is known", &crowds.told, ["0", "1", "1"]),
        ("the provider's token is dead, and nobody knows", &crowds.untold, ["≤ 1", "1", "≤ 2"]),
    ];
    for ((what, expired, [dead, refreshes, userinfo]), real_time) in both.into_iter().zip(crowds.real_time) {
        rows.push(section(&format!("{REQUESTS} requests, {what}; the provider takes 10 ms")));
        rows.push(fact("calls of UserInfo with the dead token", expired.dead_calls.to_string(), dead));
        rows.push(fact("refreshes", expired.refreshes.to_string(), refreshes));
        rows.push(fact("calls of UserInfo in all", expired.userinfo_calls.to_string(), userinfo));
        rows.push(fact("served", expired.served.to_string(), "all"));
        rows.push(fact("tools that got the dead token", expired.with_dead_token.to_string(), "0"));
        rows.push(fact("the last is served after, round trips", format!("{:.2}", expired.round_trips), ""));
        rows.push(fact("the same in real time", format!("{real_time:.2}"), "≤ 3.5"));
    }
    for (endpoint, failing) in ["UserInfo", "the token endpoint"].into_iter().zip(&crowds.failing) {
        rows.push(section(&format!(
            "2 × {REQUESTS} requests in each back-off window, {endpoint} answers 500 after 10 ms"
        )));
        rows.push(fact("calls of the provider in the busiest window", failing.calls_per_window.to_string(), "1"));
        rows.push(fact("answers other than 503 with `Retry-After`", failing.otherwise.to_string(), "0"));
        rows.push(fact("the last is answered after, ms", failing.after.as_millis().to_string(), ""));
    }
    for (when, late) in ["while its user is looked up", "after a tool has reported it"].into_iter().zip(&crowds.late) {
        rows.push(section(&format!("{LATE} requests that come while a dead token is refreshed, {when}")));
        rows.push(fact("tools that got the dead token", late.with_dead_token.to_string(), "0"));
        rows.push(fact("served", late.served.to_string(), "all"));
        rows.push(fact("refreshes", late.refreshes.to_string(), "1"));
    }
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    rows.push(section(&format!("{GONE} clients that go away during a refresh")));
    rows.push(fact("exchanges", crowds.disconnects.exchanges.to_string(), "1"));
    rows.push(fact("the new refresh token is in the store", yes(crowds.disconnects.is_saved), "yes"));
    rows.push(fact("the next is served without an exchange", yes(crowds.disconnects.serves_the_next), "yes"));
    rows.concat()
}

fn scenes(scenes: &[Scene]) -> String {
    let mut rows = vec![row(&["", "scenario", "Portcullis", "rmcp 3.9"]), row(&["---", "---", "---", "---"])];
    rows.extend(scenes.iter().map(|scene| {
        let letter = format!("{:?}", scene.scenario);
        row(&[&letter, scene.what, &told(&scene.ours), &told(&scene.rmcp)])
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
