//! [`ServerNames`]: the check of `Host` and `Origin`, before the token is verified: the defence against DNS rebinding (TR-1).

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, Uri, header, uri::Authority};
use portcullis::ResourceUri;

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The names by which clients may address a server: the host of its resource, and loopback at any port.
///
/// The server checks them itself. A reverse proxy that replaces `Host` must check them too, because the server behind it cannot.
#[derive(Clone, Debug)]
pub struct ServerNames {
    public: Option<Origin>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl ServerNames {
    /// Returns the names of the server of `resource`.
    #[must_use]
    pub fn new(resource: &ResourceUri) -> Self {
        Self { public: Origin::parse(resource.origin()) }
    }

    /// Returns the host names.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        LOOPBACK.into_iter().chain(self.public.iter().map(|origin| &*origin.host))
    }

    /// Reports whether `Host` and, if it is present, `Origin` of a request name the server.
    ///
    /// A public origin must have the scheme and the port of the resource; a host may have any port.
    #[must_use]
    pub fn allow(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        // Over HTTP/2 the authority is part of the URI.
        let host = uri.authority().map(Authority::as_str).or_else(|| headers.get(header::HOST)?.to_str().ok());
        // Only browsers send `Origin`.
        let mut origins = headers.get_all(header::ORIGIN).iter();
        host.is_some_and(|host| self.allow_host(host))
            && origins.all(|origin| origin.to_str().is_ok_and(|origin| self.allow_origin(origin)))
    }

    fn allow_host(&self, host: &str) -> bool {
        authority(host).is_some_and(|(host, _)| self.hosts().any(|name| name == host))
    }

    fn allow_origin(&self, origin: &str) -> bool {
        Origin::parse(origin)
            .is_some_and(|origin| LOOPBACK.contains(&&*origin.host) || self.public.as_ref() == Some(&origin))
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let (host, port) = authority(rest)?;
        Some(Self { scheme: scheme.to_owned(), host, port: port.or(Some(default_port)) })
    }
}

fn authority(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.parse().ok()?;
    (!text.contains('@')).then(|| (authority.host().to_ascii_lowercase(), authority.port_u16()))
}

/// Rejects a request with a foreign `Host` or `Origin` with 403. Metadata documents are public and exempt (TR-13).
pub(crate) async fn check(State(names): State<ServerNames>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with("/.well-known/") || names.allow(request.uri(), request.headers()) {
        return next.run(request).await;
    }
    tracing::warn!(
        host = ?request.headers().get(header::HOST),
        origin = ?request.headers().get(header::ORIGIN),
        "rejected a request with a foreign Host or Origin"
    );
    (StatusCode::FORBIDDEN, "Host or Origin is not allowed\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(host: &'static str, origin: Option<&'static str>) -> bool {
        let names = ServerNames::new(&ResourceUri::new("https://mcp.example.com/mcp").expect("resource"));
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().expect("header"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().expect("header"));
        }
        names.allow(&Uri::from_static("/mcp"), &headers)
    }

    #[test]
    fn tr_01_the_public_name_and_loopback_are_allowed() {
        for host in ["mcp.example.com", "MCP.example.com:443", "localhost:8000", "127.0.0.1", "[::1]:8000"] {
            assert!(allowed(host, None), "{host}");
        }
        for origin in
            ["https://mcp.example.com", "https://mcp.example.com:443", "http://localhost:6274", "http://[::1]:1"]
        {
            assert!(allowed("mcp.example.com", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn tr_01_other_names_are_rejected() {
        for host in
            ["evil.example", "mcp.example.com.evil.example", "localhost@evil.example", "", "127.0.0.1.evil.example"]
        {
            assert!(!allowed(host, None), "{host}");
        }
        for origin in [
            "http://mcp.example.com",
            "https://mcp.example.com:8443",
            "https://evil.example",
            "null",
            "",
            "https://localhost@evil.example",
            "http://localhost.evil.example",
        ] {
            assert!(!allowed("mcp.example.com", Some(origin)), "{origin}");
        }
    }
}
