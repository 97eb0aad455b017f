//! [`Resource`]: an MCP server that is called without a socket.

use std::{collections::HashMap, sync::Arc};

use futures_util::stream::BoxStream;
use http::{HeaderName, HeaderValue, StatusCode, header::AUTHORIZATION};
use portcullis::egress::EgressError;
use rmcp::{
    model::ClientJsonRpcMessage,
    transport::streamable_http_client::{
        AuthRequiredError, SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
    },
};
use serde_json::{Value, json};
use sse_stream::Sse;

use super::Site;

/// An MCP server without tools, in place of the HTTP client of rmcp's transport. Each message costs one call of the resource.
/// Without a site it accepts every message at once.
#[derive(Clone)]
pub(crate) struct Resource(pub(crate) Option<Site>);

type Refused = StreamableHttpError<EgressError>;
type Headers = HashMap<HeaderName, HeaderValue>;

impl StreamableHttpClient for Resource {
    type Error = EgressError;

    async fn post_message(
        &self,
        _: Arc<str>,
        message: ClientJsonRpcMessage,
        _: Option<Arc<str>>,
        access_token: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Refused> {
        let Some(site) = &self.0 else { return Ok(StreamableHttpPostResponse::Accepted) };
        let header = headers.get(&AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let access_token = access_token.as_deref().or(header).unwrap_or_default();
        let status = site.call_resource(access_token).await;
        if status.map_err(StreamableHttpError::Client)? != StatusCode::OK {
            let error = AuthRequiredError::new("Bearer error=\"invalid_token\"".into());
            return Err(StreamableHttpError::AuthRequired(error));
        }
        let message = serde_json::to_value(message).expect("JSON");
        let Some(id) = message.get("id") else { return Ok(StreamableHttpPostResponse::Accepted) };
        let result = match message["method"].as_str() {
            Some("initialize") => json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "resource", "version": "1"},
            }),
            _ => json!({"tools": Value::Array(Vec::new())}),
        };
        let response = serde_json::from_value(json!({"jsonrpc": "2.0", "id": id, "result": result}));
        Ok(StreamableHttpPostResponse::Json(response.expect("a response"), None))
    }

    async fn delete_session(&self, _: Arc<str>, _: Arc<str>, _: Option<String>, _: Headers) -> Result<(), Refused> {
        Err(StreamableHttpError::ServerDoesNotSupportDeleteSession)
    }

    async fn get_stream(
        &self,
        _: Arc<str>,
        _: Option<Arc<str>>,
        _: Option<String>,
        _: Option<String>,
        _: Headers,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Refused> {
        Err(StreamableHttpError::ServerDoesNotSupportSse)
    }
}
