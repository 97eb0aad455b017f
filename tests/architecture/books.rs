//! What the documents say: every example is listed, versions are ours, and nothing names a machine.

use std::fs;

use crate::sources::{files, none, packages, read, root};

#[test]
fn every_example_is_in_the_list() {
    let list = read("examples/README.md");
    let folders = fs::read_dir(root().join("examples")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let names = folders.filter(|path| path.is_dir()).map(|path| path.file_name().unwrap_or_default().to_owned());
    let missing =
        names.map(|name| name.to_string_lossy().into_owned()).filter(|name| !list.contains(&format!("]({name})")));
    none(&missing.collect::<Vec<_>>());
}

#[test]
fn versions_in_documents_are_those_of_the_workspace() {
    let packages = packages();
    let ours = |name: &str| packages.iter().find(|package| package["name"] == name);
    let mut findings = Vec::new();
    for path in documents() {
        for (number, line) in read(&path).lines().enumerate() {
            // As in a manifest: `portcullis = "0.1"`, `portcullis-core = { version = "0.1", .. }`.
            let Some((name, rest)) = line.trim_start_matches(['/', '!', ' ']).split_once('=') else { continue };
            let Some(package) = ours(name.trim()) else { continue };
            let quoted = rest.split("version").last().unwrap_or(rest).split('"').nth(1).unwrap_or_default();
            let version = package["version"].as_str().expect("a version");
            if quoted.starts_with(|first: char| first.is_ascii_digit()) && !version.starts_with(quoted) {
                findings.push(format!("{path}:{}: {} is {version}, not {quoted}", number + 1, name.trim()));
            }
        }
    }
    none(&findings);
}

#[test]
fn nothing_names_a_folder_of_a_developers_machine() {
    // In two parts, so that this file does not.
    let folders = [["/ro", "ot/"], ["/ho", "me/"], ["/Us", "ers/"], ["/wo", "rk/"]].map(|parts| parts.concat());
    let mut findings = Vec::new();
    for path in all_texts() {
        for (number, line) in read(&path).lines().enumerate() {
            if folders.iter().any(|folder| line.contains(folder)) {
                findings.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    none(&findings);
}

fn documents() -> Vec<String> {
    let mut found = all_texts();
    found.retain(|path| path.ends_with(".md") || path.ends_with(".rs"));
    found
}

fn all_texts() -> Vec<String> {
    let extensions = ["md", "rs", "toml", "json", "mjs", "yml", "yaml", "sh"];
    let mut found = files("", &extensions);
    found.extend(["justfile".to_owned(), ".ci/run".to_owned()]);
    found
}
