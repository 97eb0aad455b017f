//! The table of the results, and the section of the page about the authentication layer.

use std::{fmt::Display, fs, process::Command};

use crate::{
    Results,
    gate::{Promise, added},
    hits,
    measure::{Measured, find},
    median,
    outage::Outage,
    peers, population,
};

/// Returns the baseline of a case.
fn bare_of(case: &str) -> Option<&'static str> {
    match case {
        hits::BARE | hits::BARE_ROUTER | peers::BARE_07 | population::BARE => None,
        hits::SHA256_OPAQUE | hits::SHA256_JWT => None,
        hits::HIT_OPAQUE | hits::HIT_JWT => Some(hits::BARE),
        case if case.starts_with("hit, ") => Some(population::BARE),
        case if case.starts_with("axum 0.7") => Some(peers::BARE_07),
        _ => Some(hits::BARE_ROUTER),
    }
}

/// Returns the table in Markdown.
pub(crate) fn table(results: &Results, promises: &[Promise]) -> String {
    let mut rows = vec![
        row(["", "min", "median", "added", "allocations added"]),
        row(["---", "---:", "---:", "---:", "---:"]),
        heading("time of a request, ns"),
    ];
    rows.extend(timed(&results.hits));
    rows.push(heading("time of a request among many contexts, ns"));
    rows.extend(timed(&results.population));
    rows.push(heading("memory"));
    rows.push(fact("bytes for each of 1,000,000 contexts", results.bytes_per_context.round()));
    rows.push(heading("10,000 requests at once, with an empty cache"));
    let stampede = &results.stampede;
    rows.push(fact("one token: calls to the provider", stampede.cold_calls));
    rows.push(fact("every second caller disconnects: calls", stampede.disconnect_calls));
    rows.push(fact("every second caller disconnects: served", stampede.disconnect_served));
    rows.push(spread("different tokens, the provider takes 50 ms: ms", &stampede.different_ms, 0));
    rows.push(spread("the provider alone, for as many calls: ms", &stampede.provider_ms, 0));
    for outage in &results.outages {
        rows.push(heading(&format!("a provider that {}, 1,000 requests at once", outage.fault)));
        rows.extend(outage_rows(outage));
    }
    rows.push(heading("10,000 tokens with unknown `kid`"));
    rows.push(fact("key-set fetches in a cool-down", results.unknown_kid_fetches));
    rows.push(heading("HTTP over the loopback, 16 connections"));
    for turns in &results.throughput {
        rows.push(spread(&format!("axum, {}: requests a second", turns.token), &turns.bare, 0));
        rows.push(spread(&format!("axum behind the gate, {}: requests a second", turns.token), &turns.gated, 0));
        rows.push(spread(&format!("ratio of neighbouring turns, {}", turns.token), &turns.ratios, 3));
    }
    rows.push(heading("promises: measured, bound"));
    for promise in promises {
        let verdict = if promise.is_kept() { "kept" } else { "**missed**" };
        let sign = if promise.at_least { "≥" } else { "≤" };
        let (measured, bound) = (figure(promise.measured), format!("{sign} {}", figure(promise.bound)));
        rows.push(row([promise.what, &measured, &bound, verdict, ""]));
    }
    rows.concat()
}

fn timed(measured: &[Measured]) -> Vec<String> {
    let row_of = |case: &Measured| {
        let (min, median) = (format!("{:.0}", case.min), format!("{:.0}", case.median));
        let Some(bare) = bare_of(&case.name) else { return row([&case.name, &min, &median, "", ""]) };
        let allocations = case.allocations.count as i64 - find(measured, bare).allocations.count as i64;
        let bytes = case.allocations.bytes as i64 - find(measured, bare).allocations.bytes as i64;
        let added = format!("{:.0}", added(measured, &case.name, bare));
        row([&case.name, &min, &median, &added, &format!("{allocations} ({bytes} B)")])
    };
    measured.iter().map(row_of).collect()
}

fn outage_rows(outage: &Outage) -> Vec<String> {
    let answers = |answers: &[crate::concurrent_requests::Answer]| {
        let mut after: Vec<_> = answers.iter().map(|answer| answer.after.as_secs_f64()).collect();
        after.sort_by(f64::total_cmp);
        let retry = || answers.iter().filter_map(|answer| answer.retry_after);
        let statuses: std::collections::BTreeSet<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
        format!(
            "{} × {statuses:?} after {:.3} s (median; at most {:.3}), `Retry-After` {} to {} s",
            answers.len(),
            after[after.len() / 2],
            after[after.len() - 1],
            retry().min().unwrap_or_default(),
            retry().max().unwrap_or_default(),
        )
    };
    vec![
        fact("one token: calls", outage.first_calls),
        fact("one token: answers", answers(&outage.first)),
        fact("different tokens, before the first failure: calls", outage.unwarned_calls),
        fact("different tokens, in each back-off window: calls", outage.calls_per_window),
        fact("different tokens, in the last back-off window: answers", answers(&outage.later)),
    ]
}

fn row(cells: [&str; 5]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn heading(text: &str) -> String {
    row([&format!("**{text}**"), "", "", "", ""])
}

fn fact(what: &str, value: impl Display) -> String {
    row([what, &value.to_string(), "", "", ""])
}

/// Returns a row with the minimum and the median of several rounds.
fn spread(what: &str, rounds: &[f64], digits: usize) -> String {
    let min = rounds.iter().copied().fold(f64::INFINITY, f64::min);
    row([what, &format!("{min:.digits$}"), &format!("{:.digits$}", median(rounds)), "", ""])
}

fn figure(number: f64) -> String {
    if number < 10.0 && number.fract() != 0.0 { format!("{number:.3}") } else { format!("{number:.0}") }
}

/// Returns the section about the authentication layer.
pub(crate) fn text(table: &str) -> String {
    let method = include_str!("method.md");
    format!("## The gate\n\n{PLOT}\n\n{table}\n{method}\nThe machine: {}.\n", machine())
}

const PLOT: &str = "![Time that each layer adds to a request, on a logarithmic scale](benchmarks.svg)";

/// Returns a description of the machine.
pub(crate) fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let sha = if cpu.contains("sha_ni") { ", SHA instructions" } else { "" };
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let compiler = Command::new("rustc").arg("--version").output();
    let compiler = compiler.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!("{}, {processors} processors{sha}, {compiler}, load {load} at the end", model.unwrap_or("unknown"))
}
