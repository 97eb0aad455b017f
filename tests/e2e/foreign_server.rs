//! An MCP server that is not ours, behind the gate on plain hyper.

use std::sync::{Arc, Mutex};

use reqwest::{Client, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
};

use crate::harness::{Format, Process, Provider, ReverseProxy, free_port, message, post, script, until_listening};

const WIRE: &str = "2025-11-25";

/// `@modelcontextprotocol/server-everything` behind the reverse proxy, and what the proxy sends to it.
struct Story {
    provider: Provider,
    proxy: ReverseProxy,
    wiretap: Arc<Mutex<Vec<u8>>>,
    _server: Process,
}

impl Story {
    async fn start() -> Self {
        let provider = Provider::start(Format::Jwt).await;
        let port = free_port();
        let mut command = script("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
        let server = Process::start(command.arg("streamableHttp").env("PORT", port.to_string()));
        until_listening(port).await;
        let wiretap = Arc::default();
        let tapped = tap(port, Arc::clone(&wiretap)).await;
        let proxy = ReverseProxy::start(&format!("http://127.0.0.1:{tapped}"), &provider.issuer).await;
        Self { provider, proxy, wiretap, _server: server }
    }

    async fn token(&self, user: &str) -> String {
        self.provider.login(user, &self.proxy.url, "mcp:read").await.access()
    }

    /// Opens a session and returns its id.
    async fn open(&self, token: &str) -> String {
        let client = json!({"name": "test", "version": "1"});
        let params = json!({"protocolVersion": WIRE, "capabilities": {}, "clientInfo": client});
        let request =
            post(&self.proxy.url, &json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}));
        let answer = request.bearer_auth(token).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        let session = answer.headers()["mcp-session-id"].to_str().expect("text").to_owned();
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(self.send(&initialized, &session, token).await.status(), StatusCode::ACCEPTED);
        session
    }

    async fn send(&self, message: &Value, session: &str, token: &str) -> Response {
        in_session(post(&self.proxy.url, message), session, token).send().await.expect("an answer")
    }
}

fn in_session(request: RequestBuilder, session: &str, token: &str) -> RequestBuilder {
    request.bearer_auth(token).header("mcp-session-id", session).header("mcp-protocol-version", WIRE)
}

fn call(tool: &str, arguments: &Value) -> Value {
    let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": "p"}});
    json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params})
}

/// A port that leads to `upstream`; what is sent there is noted.
async fn tap(upstream: u16, noted: Arc<Mutex<Vec<u8>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (mut from_proxy, mut to_proxy) = stream.into_split();
            let (mut from_server, mut to_server) =
                TcpStream::connect(("127.0.0.1", upstream)).await.expect("a server").into_split();
            let noted = Arc::clone(&noted);
            tokio::spawn(async move { copy(&mut from_server, &mut to_proxy).await });
            tokio::spawn(async move {
                let mut buffer = [0; 8192];
                while let Ok(length @ 1..) = from_proxy.read(&mut buffer).await {
                    noted.lock().expect("a lock").extend_from_slice(&buffer[..length]);
                    if to_server.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn rs_15_a_foreign_server_works_behind_the_gate_and_never_sees_the_token() {
    let story = Story::start().await;
    let token = story.token("alice").await;
    let session = story.open(&token).await;
    let list = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list"});
    let tools = message(story.send(&list, &session, &token).await).await;
    assert!(tools["result"]["tools"].as_array().is_some_and(|tools| tools.iter().any(|tool| tool["name"] == "echo")));
    let echo = message(story.send(&call("echo", &json!({"message": "hello"})), &session, &token).await).await;
    assert_eq!(echo["result"]["content"][0]["text"], "Echo: hello");

    let seen = String::from_utf8_lossy(&story.wiretap.lock().expect("a lock")).to_ascii_lowercase();
    assert!(seen.contains("post /mcp http/1.1") && seen.contains("mcp-session-id: "), "{seen}");
    assert!(!seen.contains("authorization") && !seen.contains(&token.to_ascii_lowercase()), "{seen}");
}

#[tokio::test]
async fn tr_05_events_of_a_foreign_server_arrive_one_by_one() {
    let story = Story::start().await;
    let token = story.token("alice").await;
    let session = story.open(&token).await;
    let work = call("trigger-long-running-operation", &json!({"duration": 2, "steps": 4}));
    let mut answer = story.send(&work, &session, &token).await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut chunks = Vec::new();
    while let Some(chunk) = answer.chunk().await.expect("a chunk") {
        let text = String::from_utf8(chunk.to_vec()).expect("text");
        chunks.extend(text.contains("data: {").then_some(text));
    }
    // A buffering proxy would deliver it in one piece.
    assert!(chunks[0].contains("notifications/progress") && !chunks[0].contains("completed"), "{chunks:#?}");
    assert!(chunks[chunks.len() - 1].contains("Long running operation completed"), "{chunks:#?}");
}

#[tokio::test]
async fn tr_06_a_session_of_a_foreign_server_belongs_to_the_user_it_was_given_to() {
    let story = Story::start().await;
    let (alice, mallory) = (story.token("alice").await, story.token("mallory").await);
    let session = story.open(&alice).await;
    let echo = call("echo", &json!({"message": "hello"}));

    assert_eq!(story.send(&echo, &session, &mallory).await.status(), StatusCode::NOT_FOUND);
    let url = &story.proxy.url;
    let listen = Client::new().get(url).header(header::ACCEPT, "text/event-stream");
    let stolen = in_session(listen, &session, &mallory).send().await.expect("an answer");
    assert_eq!(stolen.status(), StatusCode::NOT_FOUND);
    let ended = in_session(Client::new().delete(url), &session, &mallory).send().await.expect("an answer");
    assert_eq!(ended.status(), StatusCode::NOT_FOUND);

    // Another token of the same user is as good as the first.
    let fresh = story.token("alice").await;
    assert_ne!(fresh, alice);
    assert_eq!(story.send(&echo, &session, &fresh).await.status(), StatusCode::OK);
    let ended = in_session(Client::new().delete(url), &session, &fresh).send().await.expect("an answer");
    assert_eq!(ended.status(), StatusCode::OK);
    // Whether a session still exists is known to the server alone, and this one says 400 where the specification wants 404.
    let after = story.send(&echo, &session, &fresh).await;
    assert_eq!(after.status(), StatusCode::BAD_REQUEST);
    assert!(after.text().await.expect("text").contains("No valid session"), "the words of the server");
}
