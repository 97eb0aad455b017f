//! The identity of a caller depends on the request alone.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::{
    server::{APPLICATION, Place},
    user::tokens,
};
use crate::harness::{Provider, message, post};

const WIRE: &str = "2025-11-25";

/// Asks who the user of `token` is, within a session of the wire 2025-11-25.
async fn whoami(url: &str, token: &str, session: &str) -> Response {
    let call =
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}});
    let request = post(url, &call).bearer_auth(token).header("mcp-protocol-version", WIRE);
    request.header("mcp-session-id", session).send().await.expect("an answer")
}

async fn subject(answer: Response) -> Value {
    let message = message(answer).await;
    let text = message["result"]["content"][0]["text"].as_str().expect("text");
    serde_json::from_str::<Value>(text).expect("JSON")["subject"].clone()
}

/// Opens a session with `token`.
async fn open(url: &str, token: &str) -> String {
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": WIRE, "capabilities": {}, "clientInfo": {"name": "story", "version": "1"},
    }});
    let answer = post(url, &initialize).bearer_auth(token).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let session = answer.headers()["mcp-session-id"].to_str().expect("text").to_owned();
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let request = post(url, &initialized).bearer_auth(token).header("mcp-session-id", &session);
    request.header("mcp-protocol-version", WIRE).send().await.expect("an answer");
    session
}

#[tokio::test]
async fn b11_c02_the_token_of_one_user_in_the_session_of_another_is_neither_of_them() {
    let place = Place::new();
    let provider = Provider::start_with_pages(&place.callback(), 300).await;
    let site = place.open(&provider.issuer, APPLICATION).await;
    let client = site.client().await;
    let (alice, bob) = (tokens(&client, "alice").await, tokens(&client, "bob").await);
    let (of_alice, of_bob) = (open(&site.url, alice.access_token()).await, open(&site.url, bob.access_token()).await);

    // Both are users of the same client, and know the session of the other one.
    for (token, session) in [(bob.access_token(), &of_alice), (alice.access_token(), &of_bob)] {
        assert_eq!(whoami(&site.url, token, session).await.status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(subject(whoami(&site.url, alice.access_token(), &of_alice).await).await, "alice");
    assert_eq!(subject(whoami(&site.url, bob.access_token(), &of_bob).await).await, "bob");

    // Another login of Alice is Alice: her client may have refreshed, or been restarted.
    let refreshed = client.refresh(alice.refresh_token()).await.expect("an answer");
    assert_eq!(subject(whoami(&site.url, refreshed.access_token(), &of_alice).await).await, "alice");
}
