//! Shutdown: requests and refreshes in progress finish, idle streams end, and the time is bounded.

use std::time::Duration;

use portcullis_testkit::{Endpoint, IdentityProvider, TokenPolicy};
use reqwest::header;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    bridge::{call, call_json, log_in, oidc, registered, sqlite},
    process::{Running, bridge, folder, free_port},
};

#[tokio::test]
async fn a_request_in_progress_is_finished() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let mut server = Running::start(running.url(), "").await;
    let token = provider.token("alice").with_audience(&server.url()).jwt();
    let request = server.call("echo", &json!({"message": "to the end"})).bearer_auth(token).build().expect("request");
    let body = request.body().and_then(|body| body.as_bytes()).expect("bytes").to_vec();

    let mut stream = TcpStream::connect(server.address()).await.expect("connected");
    let (host, port) = server.address();
    let mut head = format!("POST /mcp HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().expect("ASCII")));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.expect("written");
    stream.write_all(&body[..10]).await.expect("written");
    sleep(Duration::from_millis(200)).await;

    server.terminate();
    server.wait_for("/readyz", 503).await;
    assert!(TcpStream::connect(server.address()).await.is_err(), "no new connection is accepted");
    stream.write_all(&body[10..]).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("to the end"), "{answer}");
    assert_eq!(server.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn an_idle_event_stream_is_ended() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let mut server = Running::start(running.url(), "").await;
    let token = provider.token("alice").with_audience(&server.url()).jwt();
    let params =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    let opened = server.post(&initialize).bearer_auth(&token).send().await.expect("answer");
    let session = opened.headers()["mcp-session-id"].clone();
    drop(opened.text().await);
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let request = server.post(&initialized).bearer_auth(&token).header("mcp-session-id", &session);
    assert_eq!(request.send().await.expect("answer").status(), 202);

    let listen = reqwest::Client::new().get(server.url()).bearer_auth(&token).header("mcp-session-id", &session);
    let stream = listen.header(header::ACCEPT, "text/event-stream").send().await.expect("answer");
    assert_eq!(stream.status(), 200);
    server.terminate();
    let (status, took) = server.ended().await;
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(3), "{took:?}");
    timeout(Duration::from_secs(1), stream.text()).await.expect("the stream ends").expect("cleanly");
}

#[tokio::test]
async fn a_request_that_does_not_finish_is_aborted() {
    let provider = IdentityProvider::new();
    let running = provider.serve().await.expect("a port");
    let mut server = Running::start(running.url(), "").await;
    let token = provider.token("alice").with_audience(&server.url()).jwt();
    let mut stream = TcpStream::connect(server.address()).await.expect("connected");
    let (host, port) = server.address();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    sleep(Duration::from_millis(200)).await;
    server.terminate();
    let (status, took) = server.ended().await;
    assert_eq!(status.code(), Some(0));
    assert!(Duration::from_secs(4) < took && took < Duration::from_secs(9), "{took:?}");
}

#[tokio::test]
async fn a_refresh_in_progress_is_finished_and_saved_although_its_caller_disconnected() {
    let provider = IdentityProvider::new();
    provider.set_token_policy(TokenPolicy::new().with_access_token_lifetime(Duration::from_secs(5)));
    let running = provider.serve().await.expect("a port");
    let (port, folder) = (free_port(), folder("drained"));
    let text = bridge(&oidc(running.url()), &sqlite(&folder));
    let mut server = Running::serve(port, &text);
    server.wait_for("/readyz", 200).await;
    let tokens = log_in(&registered(&server).await, "alice").await;
    sleep(Duration::from_millis(5200)).await;

    provider.set_answer_latency(Endpoint::Token, Duration::from_secs(2));
    let caller = timeout(Duration::from_millis(500), call(&server, "upstream", tokens.access_token()));
    assert!(caller.await.is_err(), "the caller has disconnected");
    assert_eq!(provider.rotations(), 1, "the provider has rotated the refresh token");
    server.terminate();
    let (status, took) = server.ended().await;
    assert_eq!(status.code(), Some(0));
    assert!(took > Duration::from_secs(1), "the shutdown waits for the refresh: {took:?}");

    provider.heal(Endpoint::Token);
    let server = Running::serve(port, &text);
    server.wait_for("/readyz", 200).await;
    assert_eq!(call_json(&server, "upstream", tokens.access_token()).await["sub"], "alice");
    assert_eq!(provider.most_times_presented(), 1);
}
