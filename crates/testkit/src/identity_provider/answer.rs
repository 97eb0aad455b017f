//! Answers in the making.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};

/// No body.
pub(super) fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// A body of this type.
pub(super) fn body(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(super) fn json(status: StatusCode, members: &Value) -> Response<Bytes> {
    body(status, "application/json", members.to_string())
}

pub(super) fn ok(members: &Value) -> Response<Bytes> {
    json(StatusCode::OK, members)
}

/// 401 with a challenge of the scheme `Bearer`, [RFC 6750 section 3](https://www.rfc-editor.org/rfc/rfc6750#section-3).
pub(super) fn refused_token(error: &str) -> Response<Bytes> {
    challenged("Bearer", error, &json!({"error": error}))
}

/// 401 with a challenge.
pub(super) fn challenged(scheme: &str, error: &str, members: &Value) -> Response<Bytes> {
    let mut response = json(StatusCode::UNAUTHORIZED, members);
    let challenge = HeaderValue::try_from(format!("{scheme} realm=\"idp\", error=\"{error}\""));
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge.expect("visible ASCII"));
    response
}
