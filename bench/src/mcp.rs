//! A realistic MCP request, and servers that only respond.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use axum::{Router, routing::post};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use tower::{Service, ServiceExt};

/// The body of the request.
pub(crate) const CALL: &str =
    r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"}}}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"hello"}]}}"#;

/// `POST /mcp` with seven headers.
pub(crate) fn request<B: From<Bytes>>(authorization: HeaderValue) -> Request<B> {
    Request::post("/mcp")
        .header(header::HOST, HeaderValue::from_static("mcp.example.test"))
        .header(header::USER_AGENT, HeaderValue::from_static("mcp-client/1.4.2 (node; linux)"))
        .header(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"))
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(header::CONTENT_LENGTH, HeaderValue::from(CALL.len()))
        .header("mcp-protocol-version", HeaderValue::from_static("2025-11-25"))
        .header(header::AUTHORIZATION, authorization)
        .body(Bytes::from_static(CALL.as_bytes()).into())
        .expect("a request")
}

/// Returns the `Authorization` header for `token`.
pub(crate) fn bearer(token: &str) -> HeaderValue {
    HeaderValue::try_from(format!("Bearer {token}")).expect("a header value")
}

/// A service that responds at once, without a framework.
#[derive(Clone)]
pub(crate) struct Bare;

impl<B> Service<Request<B>> for Bare {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())))))
    }
}

/// Returns the same service as a router.
pub(crate) fn router() -> Router {
    Router::new().route("/mcp", post(async || ANSWER))
}

/// Returns the response to a request with these credentials.
pub(crate) async fn respond<S, B, C>(service: &S, authorization: HeaderValue) -> Response<C>
where
    S: Service<Request<B>, Response = Response<C>, Error = Infallible> + Clone,
    B: From<Bytes>,
{
    let Ok(response) = service.clone().oneshot(request(authorization)).await;
    response
}

/// Asserts that `service` accepts the `good` token and rejects the `bad` one.
pub(crate) async fn check<S, B, C>(name: &str, service: &S, good: &str, bad: &str)
where
    S: Service<Request<B>, Response = Response<C>, Error = Infallible> + Clone,
    B: From<Bytes>,
{
    assert_eq!(respond(service, bearer(good)).await.status(), 200, "{name}: a good token");
    assert_eq!(respond(service, bearer(bad)).await.status(), 401, "{name}: a bad token");
}
