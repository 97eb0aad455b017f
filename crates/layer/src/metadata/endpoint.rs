//! [`MetadataEndpoint`]: the well-known document, open to everybody.

use bytes::Bytes;
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL,
        CONTENT_LENGTH, CONTENT_TYPE,
    },
};
use portcullis_oauth::protected_resource::{ProtectedResourceMetadata, well_known_paths};

const PREFIX: &str = "/.well-known/";

/// Answers GET, HEAD and OPTIONS under the well-known paths: path-inserted and root.
/// [RFC 9728 section 3](https://www.rfc-editor.org/rfc/rfc9728#section-3). Open to every origin, cacheable for an hour.
#[derive(Clone, Debug)]
pub(crate) struct MetadataEndpoint {
    paths: Vec<String>,
    document: Bytes,
}

impl MetadataEndpoint {
    pub(crate) fn new(metadata: &ProtectedResourceMetadata) -> Self {
        Self { paths: well_known_paths(metadata.resource()), document: metadata.to_json() }
    }

    #[cfg(feature = "axum")]
    pub(crate) fn paths(&self) -> &[String] {
        &self.paths
    }

    /// Whether the document is at `path`.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        path.starts_with(PREFIX) && self.paths.iter().any(|known| known == path)
    }

    pub(crate) fn respond(&self, method: &Method) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        match *method {
            Method::GET | Method::HEAD => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
                headers.insert(CONTENT_LENGTH, HeaderValue::from(self.document.len()));
                if method == Method::GET {
                    *response.body_mut() = self.document.clone();
                }
            }
            Method::OPTIONS => {
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, OPTIONS"));
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("mcp-protocol-version"));
                *response.status_mut() = StatusCode::NO_CONTENT;
            }
            _ => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            }
        }
        response
    }
}
