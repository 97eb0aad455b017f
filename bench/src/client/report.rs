//! The measurements of the client layer, the section of the page about them, and one flat JSON object.

use std::{error::Error, fmt::Display, fs, path::Path, rc::Rc};

use serde_json::{Map, Value};

use super::{costs, stale};
use crate::{
    gate::added,
    measure::{Measured, find, measure},
    report::machine,
};

const ROUNDS: usize = 400;

/// The results.
pub(crate) struct Results {
    costs: Vec<Measured>,
    stale: stale::Stale,
    /// Of the last run of the end-to-end tests, if there was one.
    conformance: Option<Conformance>,
}

/// The results of the client scenarios of the MCP conformance suite.
#[derive(Clone, Copy)]
struct Conformance {
    passed: u64,
    total: u64,
}

const PASSED: &str = "conformance_client_passed";
const TOTAL: &str = "conformance_client_total";

/// Runs the measurements. `target` has the report of the end-to-end tests, if they ran.
pub(crate) fn run(target: &Path) -> Result<Results, Box<dyn Error>> {
    let runtime = Rc::new(tokio::runtime::Builder::new_current_thread().enable_all().build()?);
    eprintln!("tokens for outgoing requests ..");
    let costs = measure(costs::cases(&runtime)?, ROUNDS);
    eprintln!("refused tokens ..");
    Ok(Results { costs, stale: stale::run()?, conformance: conformance(&target.join("conformance-client.json"))? })
}

/// Reads the report of the end-to-end tests.
fn conformance(path: &Path) -> Result<Option<Conformance>, Box<dyn Error>> {
    let Ok(report) = fs::read_to_string(path) else {
        eprintln!("no {}: `just conformance` writes it; without it, {PASSED} and {TOTAL} are left out", path.display());
        return Ok(None);
    };
    let report: Value = serde_json::from_str(&report)?;
    let number = |name| report[name].as_u64().ok_or_else(|| format!("{}: no number {name:?}", path.display()));
    Ok(Some(Conformance { passed: number(PASSED)?, total: number(TOTAL)? }))
}

/// Returns the section in Markdown.
pub(crate) fn text(results: &Results) -> String {
    let stale = &results.stale;
    let mut rows = vec![row(&["", "min", "median", "allocations"]), row(&["---", "---:", "---:", "---:"])];
    rows.push(heading("ns"));
    rows.extend(results.costs.iter().map(timed));
    rows.push(fact("added by `TokenLayer`", format!("{:.0}", layer_added(results))));
    let of_rmcp = added(&results.costs, costs::LAYER_OF_RMCP, costs::BARE_OF_RMCP);
    rows.push(fact("added by rmcp's `AuthClient`", format!("{of_rmcp:.0}")));
    rows.push(heading("100 requests with a token that the resource refuses; each call takes 10 ms"));
    rows.push(fact("exchanges", stale.exchanges));
    rows.push(fact("the last is answered after, round trips", format!("{:.2}", stale.round_trips)));
    rows.push(fact("exchanges for 100 later reports about that token", stale.late_exchanges));
    rows.push(heading("failures"));
    rows.push(fact("calls that fail after a caller went away during an exchange", stale.lost_by_dropped_caller));
    rows.push(fact("exchanges for 100 requests while the authorization server answers 503", stale.outage_exchanges));
    let wait = format!("{:.3}", stale.wait_on_good_token.as_secs_f64() * 1e3);
    rows.push(fact("the slowest of 100 callers with a good token, during a refresh that takes 2 s, ms", wait));
    if let Some(Conformance { passed, total }) = results.conformance {
        rows.push(heading("the MCP conformance suite"));
        rows.push(fact("scenarios of a client that `mcp-client` passes", format!("{passed} of {total}")));
    }
    format!("## The client layer\n\n{}\n{}\nThe machine: {}.\n", rows.concat(), include_str!("method.md"), machine())
}

/// Returns the JSON object.
pub(crate) fn numbers(results: &Results) -> Map<String, Value> {
    let acquire = find(&results.costs, costs::ACQUIRE);
    let stale = &results.stale;
    let mut numbers = Map::from_iter(
        [
            ("acquire_fresh_ns", rounded(acquire.min, 1)),
            ("acquire_fresh_allocs", acquire.allocations.count.into()),
            ("layer_added_ns", rounded(layer_added(results), 1)),
            ("stale_401_exchanges", stale.exchanges.into()),
            ("stale_401_wall_round_trips", rounded(stale.round_trips, 2)),
            ("late_stale_401_exchanges", stale.late_exchanges.into()),
            ("caller_dropped_lost", stale.lost_by_dropped_caller.into()),
            ("outage_exchanges_per_window", stale.outage_exchanges.into()),
            ("valid_token_wait_ms_during_refresh", rounded(stale.wait_on_good_token.as_secs_f64() * 1e3, 3)),
        ]
        .map(|(name, number)| (name.to_owned(), number)),
    );
    if let Some(Conformance { passed, total }) = results.conformance {
        numbers.insert(PASSED.to_owned(), passed.into());
        numbers.insert(TOTAL.to_owned(), total.into());
    }
    numbers
}

fn layer_added(results: &Results) -> f64 {
    added(&results.costs, costs::LAYER, costs::BARE)
}

fn timed(case: &Measured) -> String {
    let allocations = format!("{} ({} B)", case.allocations.count, case.allocations.bytes);
    row(&[&case.name, &format!("{:.0}", case.min), &format!("{:.0}", case.median), &allocations])
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

fn rounded(number: f64, digits: i32) -> Value {
    let unit = 10_f64.powi(digits);
    Value::from((number * unit).round() / unit)
}
