//! The official MCP conformance suite: every check of its leg for authorization servers succeeds, and a server is the same behind a bridge.

use std::{fs, path::Path, time::Duration};

use serde_json::Value;

use super::{
    server::{APPLICATION, Place, Site},
    user::{accompany, browser, tokens},
};
use crate::{
    conformance::{bare, successes, suite, with_token},
    harness::{Process, Provider, free_port, script},
};

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

#[tokio::test]
async fn the_suite_of_2026_finds_no_difference_behind_a_bridge() {
    let place = Place::new();
    let provider = Provider::start_with_pages(&place.callback(), 300).await;
    let port = place.port();
    let minutes = Duration::from_mins(10);
    let site = place.open_with(&provider.issuer, APPLICATION, |config| config.with_access_token_ttl(minutes)).await;
    let client = site.client().await.with_scope("mcp:read mcp:admin");
    let (_proxy, behind) = with_token(port, tokens(&client, "alice").await.access_token()).await;

    let without = suite(&bare().await, "2026-07-28", "without-bridge").await;
    let with = suite(&behind, "2026-07-28", "with-bridge").await;
    assert!(successes(&without) > 40, "{without:#?}");
    assert_eq!(with, without);
}
