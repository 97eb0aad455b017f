//! The configuration reference in the documentation matches the JSON Schema of the program.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::process::{check, command, folder_with_secrets};

const PAGE: &str = include_str!("../../../../docs/configuration.md");

/// A row of the reference: type, default, variable, example.
struct Row<'a>([&'a str; 4]);

/// Returns the rows of all tables of keys.
fn rows() -> BTreeMap<&'static str, Row<'static>> {
    let mut rows = BTreeMap::new();
    for line in PAGE.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [key, kind, default, variable, example] = cells.try_into().expect("five cells");
        let bare = |text: &'static str| text.trim_matches('`');
        let duplicate = rows.insert(bare(key), Row([kind, bare(default), bare(variable), bare(example)]));
        assert!(duplicate.is_none(), "{key} has two rows");
    }
    rows
}

/// Returns the leaves of the schema by path; `[]` stands for the elements of a list of tables.
fn keys() -> BTreeMap<String, Value> {
    let output = command().arg("--print-schema").output().expect("the binary runs");
    let schema = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut found = BTreeMap::new();
    collect(&schema, "", &mut found);
    found
}

fn collect(node: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
    let (members, path) = match node["items"].get("properties") {
        Some(members) => (members.as_object(), format!("{path}[]")),
        None => (node.get("properties").and_then(Value::as_object), path.to_owned()),
    };
    let Some(members) = members else {
        found.insert(path, node.clone());
        return;
    };
    for (name, node) in members {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        collect(node, &path, found);
    }
}

fn kind(node: &Value) -> &'static str {
    let written = &node["type"];
    match written.as_str().or_else(|| written[0].as_str()) {
        Some("array") => "array of strings",
        Some("boolean") => "boolean",
        Some("integer") => "integer",
        _ => "string",
    }
}

#[test]
fn the_reference_lists_exactly_the_keys_of_the_schema() {
    let (documented, known) = (rows(), keys());
    assert_eq!(documented.into_keys().collect::<Vec<_>>(), known.into_keys().collect::<Vec<_>>());
}

#[test]
fn the_reference_states_the_types_defaults_and_variables_of_the_schema() {
    let rows = rows();
    for (path, node) in keys() {
        let Row([written, default, variable, _]) = rows[&*path];
        assert_eq!(written, kind(&node), "{path}");
        // These defaults are not values; the reference describes them in words.
        let in_words = ["resource_server.issuers[].algorithms", "bridge.signing_key_files"].contains(&&*path);
        if let Some(value) = node.get("default").filter(|value| !value.is_null() && !in_words) {
            assert_eq!(default, value.to_string(), "{path}");
        }
        let name = path.replace("[].", ".N.").replace('.', "__").to_uppercase();
        let element = if kind(&node) == "array of strings" { "__0" } else { "" };
        assert_eq!(variable, format!("PORTCULLIS__{name}{element}"), "{path}");
    }
}

#[test]
fn the_minimal_configurations_of_the_reference_are_valid() {
    let blocks: Vec<_> = PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2);
    let folder = folder_with_secrets("least");
    for block in blocks {
        check(&folder, block);
    }
}

#[test]
fn the_examples_of_the_reference_are_valid() {
    // These examples exclude each other, such as a secret and a file with the secret, or apply to one vendor only.
    let skipped = [
        "resource_server.issuers[].client_secret",
        "resource_server.issuers[].client_secret_file",
        "resource_server.issuers[].check_token_endpoint",
        "resource_server.issuers[].algorithms",
        "bridge.client_secret",
        "bridge.clients[].client_secret",
        "bridge.resource_servers[].client_secret",
        "bridge.registration.initial_access_token",
        "bridge.signing_key_files",
        "bridge.access_tokens",
        "mode",
        // For an issuer of another form; for a file that exists; for one of the modes.
        "resource_server.issuers[].tenants",
        "egress.ca_file",
        "challenge_scopes",
    ];
    let (mut top, mut lists) =
        (String::new(), BTreeMap::from([("resource_server.issuers", "client_secret = \"x\"\n".to_owned())]));
    for (path, Row([_, _, _, example])) in rows() {
        match path.split_once("[].") {
            _ if skipped.contains(&path) => {}
            // The tables of a list in a list are optional.
            Some((_, key)) if key.contains("[].") => {}
            Some((list, key)) => *lists.entry(list).or_default() += &format!("{key} = {example}\n"),
            None => top += &format!("{path} = {example}\n"),
        }
    }
    let lists: String = lists.into_iter().map(|(list, keys)| format!("[[{list}]]\n{keys}")).collect();
    let folder = folder_with_secrets("examples");
    for mode in ["resource-server", "bridge"] {
        check(&folder, &format!("mode = \"{mode}\"\n{top}{lists}"));
    }
}

#[test]
fn the_configuration_on_the_page_of_each_provider_is_valid() {
    let pages = [
        include_str!("../../../../docs/providers/keycloak.md"),
        include_str!("../../../../docs/providers/google.md"),
        include_str!("../../../../docs/providers/github.md"),
        include_str!("../../../../docs/providers/atlassian.md"),
        include_str!("../../../../docs/providers/salesforce.md"),
        include_str!("../../../../docs/providers/oidc.md"),
        include_str!("../../../../docs/providers/oauth2.md"),
        include_str!("../../../../docs/providers/ready-made.md"),
    ];
    let folder = folder_with_secrets("pages");
    for page in pages {
        let blocks: Vec<_> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!blocks.is_empty(), "a block of TOML");
        for block in blocks {
            check(&folder, block);
        }
    }
}
