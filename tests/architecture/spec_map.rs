//! Every requirement has a test, and `docs/spec-map.md` says which.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{none, read, sources, table};

/// How rows of requirements begin that concern another component.
const ELSEWHERE: &str = "not this component: ";

/// From id to what the row says.
fn rows() -> BTreeMap<String, String> {
    let rows = table(&read("docs/spec-map.md"), "id");
    rows.into_iter().map(|cells| (cells[0].clone(), cells.last().cloned().unwrap_or_default())).collect()
}

fn named_tests(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(',').map(|name| name.trim().trim_matches('`')).filter(|name| !name.is_empty())
}

/// `RS-8` to `rs_08_`.
fn prefix(id: &str) -> String {
    let (kind, number) = id.split_once('-').unwrap_or_else(|| panic!("{id} is no id"));
    format!("{}_{number:0>2}_", kind.to_ascii_lowercase())
}

/// The names of all tests of the workspace.
fn tests() -> BTreeSet<String> {
    sources().iter().flat_map(|source| source.facts.tests.iter().cloned()).collect()
}

#[test]
fn every_requirement_has_a_row() {
    let rs = (1..=35).chain(40..=46).map(|number| format!("RS-{number}"));
    let tr = (1..=18).map(|number| format!("TR-{number}"));
    let server = (1..=26).map(|number| format!("AS-{number}"));
    let bridge = (1..=7).map(|number| format!("AB-{number}"));
    let ema = (1..=10).map(|number| format!("EMA-{number}"));
    let client = (1..=48).map(|number| format!("CL-{number}"));
    let expected: BTreeSet<_> = rs.chain(tr).chain(server).chain(bridge).chain(ema).chain(client).collect();
    let rows: BTreeSet<_> = rows().into_keys().collect();
    assert_eq!(rows, expected);
}

#[test]
fn every_row_names_tests_that_exist_and_one_that_bears_its_id() {
    let tests = tests();
    let mut findings = Vec::new();
    for (id, cell) in rows() {
        if cell.strip_prefix(ELSEWHERE).is_some_and(|reason| !reason.is_empty()) {
            continue;
        }
        findings.extend(
            named_tests(&cell).filter(|&name| !tests.contains(name)).map(|name| format!("{id}: no test {name}")),
        );
        if !named_tests(&cell).any(|name| name.starts_with(&prefix(&id))) {
            findings.push(format!("{id}: no test whose name begins with {}", prefix(&id)));
        }
    }
    none(&findings);
}

#[test]
fn every_test_that_bears_an_id_is_in_its_row() {
    let rows = rows();
    let missing = tests().into_iter().filter(|test| {
        let row = rows.iter().find(|(id, _)| test.starts_with(&prefix(id)));
        row.is_some_and(|(_, cell)| !named_tests(cell).any(|name| name == test))
    });
    none(&missing.collect::<Vec<_>>());
}

#[test]
fn every_test_named_for_a_general_requirement_exists() {
    let tests = tests();
    let rows = table(&read("docs/spec-map.md"), "general");
    let named = rows.iter().filter_map(|cells| cells.last()).flat_map(|cell| cell.split('`').skip(1).step_by(2));
    none(&named.filter(|&name| !tests.contains(name)).map(str::to_owned).collect::<Vec<_>>());
}

#[test]
fn every_guarantee_of_the_client_layer_names_its_tests() {
    let tests = tests();
    let mut findings = Vec::new();
    for cells in table(&read("docs/spec-map.md"), "guarantee") {
        let prefix = format!("{}_", cells[0].to_ascii_lowercase());
        let named: BTreeSet<_> = cells.last().map(|cell| named_tests(cell).collect()).unwrap_or_default();
        let bearing: BTreeSet<_> = tests.iter().map(String::as_str).filter(|test| test.starts_with(&prefix)).collect();
        if bearing.is_empty() || named != bearing {
            findings.push(format!("{}: {:?}", cells[0], named.symmetric_difference(&bearing)));
        }
    }
    none(&findings);
}
