//! A page in a user's browser cannot talk to the server, whatever token it has.

use reqwest::{StatusCode, header};
use serde_json::json;

use crate::harness::{Format, GATE_SECRET, McpServer, Provider, call};

#[tokio::test]
async fn tr_01_a_foreign_origin_or_host_is_refused_before_the_provider_hears_of_the_token() {
    let provider = Provider::start(Format::Opaque).await;
    let settings = format!("verify = \"introspection\"\nclient_id = \"gate\"\nclient_secret = \"{GATE_SECRET}\"");
    let server = McpServer::start(&provider.issuer, &settings).await;
    let token = provider.login("alice", &server.url, "mcp:read").await.access();
    for (name, value) in [
        (header::ORIGIN, "https://evil.example"),
        (header::ORIGIN, "null"),
        (header::HOST, "evil.example"),
        (header::HOST, "127.0.0.1.evil.example"),
    ] {
        let request = || call(&server.url, "whoami", &json!({})).header(&name, value);
        for request in [request(), request().bearer_auth(&token), request().bearer_auth("junk")] {
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{name}: {value}");
            assert!(!answer.headers().contains_key(header::WWW_AUTHENTICATE));
        }
    }
    assert_eq!(provider.count("POST /token/introspection").await, 0);

    let good =
        call(&server.url, "whoami", &json!({})).header(header::ORIGIN, "http://localhost:6274").bearer_auth(token);
    assert_eq!(good.send().await.expect("an answer").status(), StatusCode::OK);
}
