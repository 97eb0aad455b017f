//! The official MCP conformance suite, its leg for authorization servers: every check succeeds.

use std::{fs, path::Path};

use serde_json::Value;

use super::{
    site::{APPLICATION, Place, Site},
    user::{accompany, browser},
};
use crate::harness::{Process, Provider, free_port, script};

#[tokio::test]
async fn the_suite_for_authorization_servers_finds_nothing() {
    let place = Place::new();
    let provider = Provider::start_with_pages(&place.callback(), 300).await;
    let site = place.open(&provider.issuer, APPLICATION).await;
    let results = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance-authorization");
    if results.exists() {
        fs::remove_dir_all(&results).expect("a folder");
    }

    let mut command = script("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    command.args(["authorization", "--url", &site.issuer, "--resource", &site.url]);
    command.args(["--client-id", &Site::document("suite"), "-p", &free_port().to_string(), "-o"]).arg(&results);
    accompany(Process::start(&mut command), ("", &site.issuer), &mut browser(), "alice").await;

    let folders = fs::read_dir(&results).expect("results");
    let checks = folders.flat_map(|folder| {
        let text = fs::read_to_string(folder.expect("an entry").path().join("checks.json")).expect("checks");
        serde_json::from_str::<Vec<Value>>(&text).expect("JSON")
    });
    let checks: Vec<_> = checks.collect();
    let mut ids: Vec<_> = checks.iter().filter_map(|check| check["id"].as_str()).collect();
    ids.sort_unstable();
    let expected = ["authorization-code-grant", "authorization-server-metadata", "authorization-server-metadata-cimd"];
    assert_eq!(ids, expected);
    assert!(checks.iter().all(|check| check["status"] == "SUCCESS"), "{checks:#?}");
}
