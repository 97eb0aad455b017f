//! MCP messages by hand, for stories that are about HTTP.

use reqwest::{Client, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};

const MODERN: &str = "2026-07-28";

/// A request with `message`.
pub(crate) fn post(url: &str, message: &Value) -> RequestBuilder {
    Client::new().post(url).header(header::ACCEPT, "application/json, text/event-stream").json(message)
}

/// A request of the wire 2026-07-28, which needs no session, to call `tool`.
pub(crate) fn call(url: &str, tool: &str, arguments: &Value) -> RequestBuilder {
    let meta =
        json!({"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}});
    let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
    let request = post(url, &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}));
    request.header("mcp-protocol-version", MODERN).header("mcp-method", "tools/call").header("mcp-name", tool)
}

/// The JSON-RPC message in a good answer, which may be a stream of one.
pub(crate) async fn message(response: Response) -> Value {
    let (status, text) = (response.status(), text(response).await);
    assert_eq!(status, StatusCode::OK, "{text}");
    let data = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim).find(|data| !data.is_empty());
    serde_json::from_str(data.unwrap_or(&text)).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The text that a tool answered.
pub(crate) async fn tool_text(response: Response) -> String {
    let message = message(response).await;
    message["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {message}")).to_owned()
}

pub(crate) async fn text(response: Response) -> String {
    response.text().await.expect("text")
}
