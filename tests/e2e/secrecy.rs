//! No secret prints, whatever happens and however much is logged.

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{Client, Method, RequestBuilder, header};
use serde_json::json;

use crate::harness::{Format, GATE_SECRET, McpServer, Provider, call, post};

/// Everything that is said, by whomever.
#[derive(Default)]
struct Said(Vec<String>);

impl Said {
    async fn send(&mut self, request: RequestBuilder) {
        let answer = request.send().await.expect("an answer");
        self.0.push(format!("{:?}", answer.headers()));
        self.0.push(answer.text().await.expect("text"));
    }

    /// Asks in every way that is answered differently.
    async fn ask(&mut self, server: &McpServer, tokens: &[&str]) {
        let call = |tool: &str| call(&server.url, tool, &json!({"message": "hello"}));
        self.send(call("whoami")).await;
        for token in tokens {
            for tool in ["whoami", "echo", "upstream", "admin_echo", "absent"] {
                self.send(call(tool).bearer_auth(token)).await;
            }
            let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
            }});
            self.send(post(&server.url, &initialize).bearer_auth(token)).await;
            self.send(post(&server.url, &initialize).bearer_auth(token).header("mcp-session-id", "stolen")).await;
            for method in [Method::GET, Method::DELETE, Method::PUT, Method::OPTIONS] {
                self.send(Client::new().request(method, &server.url).bearer_auth(token)).await;
            }
            // Wrong in every way that is known.
            self.send(call("whoami").header(header::AUTHORIZATION, *token)).await;
            self.send(call("whoami").header(header::AUTHORIZATION, format!("Bearer {token} {token}"))).await;
            self.send(call("whoami").header(header::AUTHORIZATION, format!("Token {token}"))).await;
            self.send(call("whoami").bearer_auth(token).bearer_auth(token)).await;
            self.send(call("whoami").bearer_auth(format!("{token}x"))).await;
            self.send(post(&server.url, &json!([])).bearer_auth(token)).await;
            self.send(call("whoami").bearer_auth(token).header(header::ORIGIN, "https://evil.example")).await;
            let http2 = Client::builder().http2_prior_knowledge().build().expect("a client");
            self.send(http2.get(&server.url).bearer_auth(token)).await;
        }
        self.0.push(server.metrics().await);
        self.send(Client::new().get(format!("{}/readyz", server.admin))).await;
    }
}

#[tokio::test]
async fn no_secret_is_in_any_log_line_answer_or_metric() {
    let provider = Provider::start(Format::Opaque).await;
    let settings = |secret: &str| {
        let profile = format!("userinfo_endpoint = \"{}/profile\"\nenrich = true", provider.issuer);
        format!("verify = \"introspection\"\nclient_id = \"gate\"\nclient_secret = \"{secret}\"\n{profile}")
    };
    let server = McpServer::start_with(&provider.issuer, &settings(GATE_SECRET), "", "trace").await;
    let refused = McpServer::start_with(&provider.issuer, &settings("planted-wrong-secret-51c2"), "", "trace").await;
    let opaque = provider.login("alice", &server.url, "openid mcp:read").await;
    let foreign = provider.login("alice", "http://127.0.0.1:2/mcp", "mcp:read").await.access();
    let mut said = Said::default();
    said.ask(&server, &[&opaque.access(), &opaque.id(), &foreign]).await;
    said.ask(&refused, &[&opaque.access()]).await;

    let issuer_of_jwts = Provider::start(Format::Jwt).await;
    let verifier = McpServer::start_with(&issuer_of_jwts.issuer, "", "", "trace").await;
    let jwt = issuer_of_jwts.login("alice", &verifier.url, "openid mcp:read").await;
    said.ask(&verifier, &[&jwt.access(), &jwt.id()]).await;

    // The provider goes, and the log says so.
    provider.kill().await;
    issuer_of_jwts.kill().await;
    said.ask(&server, &["planted-cold-token-93ab", &opaque.access()]).await;
    said.ask(&verifier, &[&jwt.access()]).await;
    for server in [server, refused, verifier] {
        let lines = server.process.kill().await;
        assert!(lines.iter().any(|line| line.contains("TRACE")), "everything is logged");
        said.0.extend(lines);
    }

    assert!(said.0.iter().any(|text| text.contains("alice@example.test")), "some requests were let through");

    let credentials = |secret: &str| BASE64_STANDARD.encode(format!("gate:{secret}"));
    let mut secrets =
        vec![GATE_SECRET.to_owned(), "planted-wrong-secret-51c2".to_owned(), "planted-cold-token-93ab".to_owned()];
    secrets.extend([credentials(GATE_SECRET), credentials("planted-wrong-secret-51c2")]);
    secrets.extend([opaque.access(), opaque.id(), foreign, jwt.access(), jwt.id()]);
    // A signature is as good as the token: the rest may be known.
    let signatures: Vec<_> =
        secrets.iter().filter_map(|secret| secret.splitn(3, '.').nth(2)).map(str::to_owned).collect();
    assert_eq!(signatures.len(), 3, "three of them are JWTs");
    secrets.extend(signatures);
    for secret in &secrets {
        let leak = said.0.iter().find(|text| text.contains(&**secret));
        assert_eq!(leak, None, "{secret}");
    }
}
