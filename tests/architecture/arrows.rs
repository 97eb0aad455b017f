//! Which crate may use which: the table of `docs/architecture.md`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::sources::{cargo, none, packages, read, table};

struct Row {
    name: String,
    may_use: BTreeSet<String>,
    may_never: BTreeSet<String>,
}

fn rows() -> Vec<Row> {
    let names = |cell: &str| -> BTreeSet<String> {
        cell.split(',').map(|name| name.trim().trim_matches('`').to_owned()).filter(|name| !name.is_empty()).collect()
    };
    table(&read("docs/architecture.md"), "crate")
        .iter()
        .map(|cells| Row { name: package(&cells[0]), may_use: names(&cells[2]), may_never: names(&cells[3]) })
        .collect()
}

/// The name of the package in the folder of this name.
fn package(folder: &str) -> String {
    if folder == "portcullis" { folder.to_owned() } else { format!("portcullis-{folder}") }
}

/// The packages of the workspace that are libraries, with what they use of it outside of tests.
fn arrows() -> Vec<(String, BTreeSet<String>)> {
    let packages = packages();
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let names: BTreeSet<_> = packages.iter().map(|package| text(&package["name"])).collect();
    let libraries = packages.iter().filter(|package| text(&package["manifest_path"]).contains("/crates/"));
    libraries
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("a list").iter();
            let normal = dependencies.filter(|dependency| dependency["kind"] != "dev");
            let own = normal.map(|dependency| text(&dependency["name"])).filter(|name| names.contains(name));
            (text(&package["name"]), own.collect())
        })
        .collect()
}

#[test]
fn every_crate_has_a_row_and_every_row_a_crate() {
    let drawn: BTreeSet<_> = rows().into_iter().map(|row| row.name).collect();
    let built: BTreeSet<_> = arrows().into_iter().map(|(name, _)| name).collect();
    assert_eq!(drawn, built);
}

#[test]
fn no_crate_uses_what_its_row_does_not_allow() {
    let mut findings = Vec::new();
    for (name, used) in arrows() {
        let row = rows().into_iter().find(|row| row.name == name).expect("a row");
        let allowed: BTreeSet<_> = row.may_use.iter().map(|folder| package(folder)).collect();
        findings.extend(used.difference(&allowed).map(|other| format!("{name} uses {other}")));
    }
    none(&findings);
}

#[test]
fn no_crate_reaches_what_it_may_never_use_by_any_way() {
    let mut findings = Vec::new();
    for Row { name, may_never, .. } in rows() {
        let tree = cargo(&["tree", "-p", &name, "-e", "normal", "--all-features", "--prefix", "none", "-f", "{p}"]);
        let reached: BTreeSet<_> = tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
        assert!(reached.contains(&name), "cargo tree -p {name} says nothing");
        findings.extend(may_never.intersection(&reached).map(|other| format!("{name} reaches {other}")));
    }
    none(&findings);
}

#[test]
fn what_is_forbidden_is_a_name_that_exists() {
    // A misspelt name would forbid nothing.
    let lock = read("Cargo.lock");
    let exists = |name: &str| lock.contains(&format!("name = \"{name}\"\n"));
    let unknown: Vec<_> = rows().into_iter().flat_map(|row| row.may_never).filter(|name| !exists(name)).collect();
    none(&unknown);
}
