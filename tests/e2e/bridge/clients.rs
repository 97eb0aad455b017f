//! Clients that are not ours log in by themselves: found from the refusal, registered or known by a document, refreshed, revoked, back.

use serde_json::{Value, json};

use super::{
    site::{APPLICATION, Place, Site},
    user::{accompany, browser},
};
use crate::harness::{Process, Provider, script};

async fn start() -> (Provider, Site) {
    let place = Place::new();
    let provider = Provider::start_with_pages(&place.callback(), 300).await;
    let site = place.open(&provider.issuer, APPLICATION).await;
    (provider, site)
}

/// Runs one of the scripts with Alice in front of it, once as a client that registers and once by its document.
async fn typescript(file: &str, wire: Option<&str>, version: &str) {
    let (_provider, site) = start().await;
    for document in [None, Some(Site::document(file))] {
        let mut command = script(file);
        command.arg(&site.url).args(wire).args(&document);
        let lines = accompany(Process::start(&mut command), &mut browser(), "alice").await;
        let said = lines.iter().find_map(|line| serde_json::from_str::<Value>(line).ok());
        let said = said.unwrap_or_else(|| panic!("{lines:#?}"));
        assert_eq!(said["version"], version);
        assert_eq!(said["tools"], json!(["admin_echo", "echo", "upstream", "whoami"]));
        assert_eq!((&said["user"], &said["upstream"]), (&json!("alice"), &json!("alice")));
        assert_eq!((&said["scope"], &said["widened"]), (&json!("mcp:read"), &json!("mcp:admin mcp:read")));
        assert_eq!(said["admin"], "hello");
        assert_eq!(said["refreshed"], json!({"user": "alice", "token": true}));
        assert_eq!((&said["revoked"], &said["again"]), (&json!(200), &json!("alice")));
        // The first, that for more scopes, and that after the revocation.
        assert_eq!((&said["seen"]["logins"], &said["seen"]["registrations"]), (&json!(3), &json!(1)));
        match document {
            Some(document) => assert_eq!(said["client"], document),
            None => assert!(said["client"].as_str().is_some_and(|id| !id.starts_with("https:")), "{said}"),
        }
    }
}

#[tokio::test]
async fn the_typescript_sdk_1_logs_in_refreshes_revokes_and_logs_in_again() {
    typescript("login-ts-1.mjs", None, "2025-11-25").await;
}

#[tokio::test]
async fn the_typescript_sdk_2_logs_in_refreshes_revokes_and_logs_in_again_on_the_wire_of_2025() {
    typescript("login-ts-2.mjs", Some("2025-11-25"), "2025-11-25").await;
}

#[tokio::test]
async fn the_typescript_sdk_2_logs_in_refreshes_revokes_and_logs_in_again_on_the_wire_of_2026() {
    typescript("login-ts-2.mjs", Some("2026-07-28"), "2026-07-28").await;
}
