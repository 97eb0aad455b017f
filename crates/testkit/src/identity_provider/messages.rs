//! [`SeenRequest`], and the constructors of responses.

use std::fmt;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};

/// A request that an endpoint received. `Debug` prints neither header values nor the body: they carry tokens and secrets.
#[derive(Clone)]
pub struct SeenRequest {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl SeenRequest {
    pub(super) fn of(request: &Request<Bytes>) -> Self {
        let mut headers = request.headers().clone();
        if let Some(credentials) = headers.get_mut(AUTHORIZATION) {
            credentials.set_sensitive(true);
        }
        Self { method: request.method().clone(), uri: request.uri().clone(), headers, body: request.body().clone() }
    }

    /// Returns the method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the URI: an absolute one if the provider was called as a service, path and query on a socket.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Returns the headers; credentials among them do not print.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the body.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }
}

impl fmt::Debug for SeenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeenRequest")
            .field("method", &self.method)
            .field("path", &self.uri.path())
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Creates a response without a body.
pub(super) fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// Creates a response with a body of this type.
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

/// Creates a 401 with a challenge of the scheme `Bearer`, [RFC 6750 section 3](https://www.rfc-editor.org/rfc/rfc6750#section-3).
pub(super) fn refused_token(error: &str) -> Response<Bytes> {
    challenged("Bearer", error, &json!({"error": error}))
}

/// Creates a 401 with a challenge of this scheme.
pub(super) fn challenged(scheme: &str, error: &str, members: &Value) -> Response<Bytes> {
    let mut response = json(StatusCode::UNAUTHORIZED, members);
    let challenge = HeaderValue::try_from(format!("{scheme} realm=\"idp\", error=\"{error}\""));
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge.expect("visible ASCII"));
    response
}
