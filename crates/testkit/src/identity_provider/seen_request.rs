//! [`SeenRequest`]: a request as an endpoint saw it.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, header::AUTHORIZATION};

/// A request as an endpoint saw it. `Debug` prints neither header values nor the body: they carry tokens and secrets.
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

    /// Its method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// Where it went: a whole URI if the provider was called as a service, path and query on a socket.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Its headers; credentials among them do not print.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Its body.
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
