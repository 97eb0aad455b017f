//! [`ResponseBody`]: the body of a response of this crate's layers; and [`Rejection`]: how a layer inside
//! [`AuthLayer`](crate::AuthLayer) rejects a request.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use portcullis_core::AuthError;
use serde_json::{Value, json};

use crate::stream_end::{Recheck, StreamEnd};

pin_project! {
    /// The body of a response of [`Auth`](crate::Auth): it passes the frames of the inner service on without delay.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        content: Content<B>,
    }
}

pin_project! {
    #[project = ContentProjection]
    #[derive(Debug)]
    enum Content<B> {
        Passed { #[pin] body: B },
        Stream { #[pin] body: B, end: Box<StreamEnd> },
        Own { bytes: Bytes },
    }
}

impl<B> ResponseBody<B> {
    pub(crate) const fn passed(body: B) -> Self {
        Self { content: Content::Passed { body } }
    }

    pub(crate) const fn own(bytes: Bytes) -> Self {
        Self { content: Content::Own { bytes } }
    }

    /// Creates a body that ends when `end` is reached.
    pub(crate) fn until_token_ends<R: Recheck + 'static>(body: B, end: StreamEnd<R>) -> Self {
        Self { content: Content::Stream { body, end: Box::new(end) } }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data: From<Bytes>>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut content = self.project().content;
        match content.as_mut().project() {
            ContentProjection::Passed { body } => body.poll_frame(cx),
            ContentProjection::Own { bytes } if bytes.is_empty() => Poll::Ready(None),
            ContentProjection::Own { bytes } => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes).into())))),
            ContentProjection::Stream { body, end } => {
                if !end.is_over(cx) {
                    let frame = body.poll_frame(cx);
                    if frame.is_ready() || end.poll_waiting(cx).is_pending() {
                        return frame;
                    }
                }
                // The inner body is dropped, so that its producer learns that the stream has ended.
                content.set(Content::Own { bytes: Bytes::new() });
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Passed { body } | Content::Stream { body, .. } => body.is_end_stream(),
            Content::Own { bytes } => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Passed { body } => body.size_hint(),
            // The stream may end early, so that its size is unknown.
            Content::Stream { .. } => SizeHint::default(),
            Content::Own { bytes } => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

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
