//! [`Rejection`]: how a layer inside [`AuthLayer`](crate::AuthLayer) rejects a request.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use portcullis_core::AuthError;
use serde_json::{Value, json};

/// The reason why a request does not reach the inner service.
#[derive(Debug)]
pub(crate) enum Rejection {
    /// The user lacks the permission. [`Auth`](crate::Auth) finds the error in the extensions of the response and replaces the response
    /// by the one of the wire table. Without an outer `AuthLayer`, the status alone still rejects the request.
    Refused(AuthError),
    /// The request has no user context, because the layers are in the wrong order: 500.
    MissingUser,
    /// The headers contradict the body: 400 with the JSON-RPC error of MCP 2026-07-28 for the request with this id.
    HeaderMismatch(Option<Value>),
}

/// `HeaderMismatchError` of MCP 2026-07-28.
const HEADER_MISMATCH: i32 = -32020;

impl Rejection {
    pub(crate) fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        match self {
            Self::Refused(error) => {
                *response.status_mut() = error.kind().status();
                response.extensions_mut().insert(error);
            }
            Self::MissingUser => {
                tracing::error!("the request has no user context: add AuthLayer outside this layer");
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            Self::HeaderMismatch(id) => {
                tracing::debug!("request rejected: Mcp-Method or Mcp-Name contradicts the body");
                let message = "Header mismatch: Mcp-Method or Mcp-Name does not match the body";
                let mut body = json!({ "jsonrpc": "2.0", "error": { "code": HEADER_MISMATCH, "message": message } });
                if let Some(id) = id {
                    body["id"] = id;
                }
                *response.status_mut() = StatusCode::BAD_REQUEST;
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                *response.body_mut() = body.to_string().into();
            }
        }
        response
    }
}

impl From<AuthError> for Rejection {
    fn from(error: AuthError) -> Self {
        Self::Refused(error)
    }
}
