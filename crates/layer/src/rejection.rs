//! [`Rejection`]: how a layer inside the gate refuses a request.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use portcullis_core::AuthError;
use serde_json::{Value, json};

/// Why a request does not reach the inner service.
#[derive(Debug)]
pub(crate) enum Rejection {
    /// It may not. [`Auth`](crate::Auth) finds the error in the extensions and answers as the wire table says; where there
    /// is no gate outside, the bare status is a refusal still.
    Refused(AuthError),
    /// Nobody has said who is calling: a mistake in how the layers are put together. 500, whatever stands outside.
    MissingUser,
    /// Its headers contradict its body, whoever is calling: 400 with the JSON-RPC error that MCP 2026-07-28 has for that,
    /// in answer to the request with this id.
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
                tracing::error!("a layer asks for the user, but no AuthLayer stands outside to say who is calling");
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            Self::HeaderMismatch(id) => {
                tracing::debug!("request rejected: its mirrored headers contradict its body");
                let message = "Header mismatch: Mcp-Method or Mcp-Name is not what the body says";
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
