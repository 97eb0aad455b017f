//! The metrics and reasons of `docs/telemetry.md` are those of the sources.

use std::collections::BTreeSet;

use crate::{
    facts::Call,
    sources::{none, product, read, table},
};
use portcullis_core::Reason;

const METRICS: [&str; 3] = ["counter", "gauge", "histogram"];

/// The rows of a table in which nothing is listed twice.
fn rows(first: &str) -> Vec<Vec<String>> {
    let rows = table(&read("docs/telemetry.md"), first);
    let mut listed = BTreeSet::new();
    let repeated = rows.iter().filter(|cells| !listed.insert(&cells[0]));
    none(&repeated.map(|cells| format!("the {first} {} is listed twice", cells[0])).collect::<Vec<_>>());
    rows
}

fn bare(cell: &str) -> String {
    cell.trim_matches('`').to_owned()
}

#[test]
fn the_page_lists_every_reason_with_its_kind() {
    let listed: BTreeSet<_> = rows("reason").iter().map(|cells| (bare(&cells[0]), bare(&cells[1]))).collect();
    let known = Reason::ALL.iter().map(|reason| (reason.as_str().to_owned(), format!("{:?}", reason.kind())));
    assert_eq!(listed, known.collect());
}

#[test]
fn the_page_lists_every_metric_with_its_type_and_labels() {
    let listed = rows("metric").into_iter().map(|cells| {
        let labels = cells[2].split(", ").filter(|label| !label.is_empty()).map(bare).collect::<Vec<_>>();
        (bare(&cells[0]), cells[1].clone(), labels)
    });
    let counted = calls(&METRICS).map(|(_, call)| {
        // The name, then `"label" => value` for each.
        let labels = call.texts[1..].iter().filter(|text| call.tokens.contains(&format!("\"{text}\" =>")));
        (call.texts[0].clone(), call.name.clone(), labels.cloned().collect())
    });
    assert_eq!(listed.collect::<BTreeSet<_>>(), counted.collect());
}

#[test]
fn events_at_warn_and_error_have_a_literal_message() {
    let formatted = calls(&["error", "warn"]).filter(|(_, call)| {
        // The message is the last argument: a literal without placeholders. What varies is a field.
        let message =
            call.texts.last().filter(|text| call.tokens.trim_end_matches([' ', ',']).ends_with(&format!("\"{text}\"")));
        message.is_none_or(|text| text.contains('{'))
    });
    none(&formatted.map(|(path, call)| format!("{path}: {}!({})", call.name, call.tokens)).collect::<Vec<_>>());
}

/// Every call of the macros `names` in the crates, with the path of its file.
fn calls(names: &[&str]) -> impl Iterator<Item = (&'static str, &'static Call)> {
    let crates = product().filter(|source| source.path.starts_with("crates/"));
    let all = crates.flat_map(|source| source.facts.calls.iter().map(|call| (&*source.path, call)));
    all.filter(|(_, call)| names.contains(&&*call.name))
}
