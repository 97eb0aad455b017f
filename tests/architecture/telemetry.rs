//! What `docs/telemetry.md` promises is what the sources count and log, and nothing else is.

use std::collections::BTreeSet;

use portcullis_core::Reason;
use syn::{Macro, visit::Visit};

use crate::sources::{none, read, sources, table};

const METRICS: [&str; 3] = ["counter", "gauge", "histogram"];
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

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
    let counted = calls(&METRICS).into_iter().map(|call| {
        // The name, then `"label" => value` for each.
        let labels = call.texts[1..].iter().filter(|text| call.tokens.contains(&format!("\"{text}\" =>")));
        (call.texts[0].clone(), call.name, labels.cloned().collect())
    });
    assert_eq!(listed.collect::<BTreeSet<_>>(), counted.collect());
}

#[test]
fn the_page_lists_every_event_with_its_level_and_fields() {
    let rows = rows("event");
    let listed: BTreeSet<_> = rows.iter().map(|cells| (cells[0].clone(), cells[1].clone(), cells[2].clone())).collect();
    let logged = calls(&LEVELS);
    let text = |call: &Call| call.texts.last().cloned().unwrap_or_default();
    let found = logged.iter().map(|call| (text(call), call.name.clone(), call.package.clone()));
    assert_eq!(listed, found.collect());

    let mut findings = Vec::new();
    for cells in &rows {
        let call = logged.iter().find(|call| text(call) == cells[0]).expect("listed and logged");
        let fields = cells[3].split(", ").filter(|field| !field.is_empty()).map(bare).collect::<BTreeSet<_>>();
        if fields != call.fields() {
            findings.push(format!("{}: {:?} are listed, {:?} are logged", cells[0], fields, call.fields()));
        }
    }
    none(&findings);
}

/// One use of a macro that counts or logs, in a crate.
struct Call {
    package: String,
    name: String,
    /// Its string literals.
    texts: Vec<String>,
    tokens: String,
}

impl Call {
    /// The names of the fields of an event: what stands before `=`, or alone with or without a sigil.
    fn fields(&self) -> BTreeSet<String> {
        let fields = self.tokens.rsplit_once(", \"").map_or("", |(fields, _)| fields);
        let name = |field: &str| field.split('=').next().unwrap_or_default().trim_matches(['%', '?', ' ']).to_owned();
        fields.split(" , ").flat_map(|part| part.split(", ")).map(name).filter(|name| !name.is_empty()).collect()
    }
}

/// Every use of the macros `names` in the crates.
fn calls(names: &[&str]) -> Vec<Call> {
    let mut calls = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("crates/") && !source.is_test()) {
        let package = source.path.split('/').nth(1).unwrap_or_default();
        let mut visitor = Calls { package, names, found: &mut calls };
        visitor.visit_file(&source.parse());
    }
    calls
}

struct Calls<'a> {
    package: &'a str,
    names: &'a [&'a str],
    found: &'a mut Vec<Call>,
}

impl Visit<'_> for Calls<'_> {
    fn visit_macro(&mut self, call: &Macro) {
        let name = call.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        if !self.names.contains(&&*name) {
            return;
        }
        let tokens = call.tokens.to_string();
        let texts = tokens.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        self.found.push(Call { package: self.package.to_owned(), name, texts, tokens });
    }
}
