//! Host and Origin of every request, checked before its token: the defence against DNS rebinding (TR-1).

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, Uri, header, uri::Authority};

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The names by which this server may be addressed: its public one, and loopback at any port.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    scheme: String,
    authority: Authority,
}

impl Names {
    /// The names of the server whose public URL is `url`, which has been validated.
    pub(crate) fn new(url: &Uri) -> Option<Self> {
        Some(Self { scheme: url.scheme_str()?.to_owned(), authority: url.authority()?.clone() })
    }

    /// For rmcp, which checks again.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        LOOPBACK.into_iter().chain([self.authority.host()])
    }

    fn allow_host(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        !host.contains('@') && self.hosts().any(|known| known.eq_ignore_ascii_case(authority.host()))
    }

    fn allow_origin(&self, origin: &str) -> bool {
        let Some((scheme, host)) = origin.split_once("://") else { return false };
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let is_known = |known: &str| known.eq_ignore_ascii_case(authority.host());
        let is_public = scheme == self.scheme
            && is_known(self.authority.host())
            && port(scheme, &authority) == port(scheme, &self.authority);
        !host.contains('@') && (is_public || LOOPBACK.into_iter().any(is_known))
    }

    fn allow(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        // Over HTTP/2 the authority is part of the URI.
        let host = uri.authority().map(Authority::as_str).or_else(|| headers.get(header::HOST)?.to_str().ok());
        let origin_is_good = headers.get_all(header::ORIGIN).iter().all(|origin| {
            // Absent is fine: only browsers send it.
            origin.to_str().is_ok_and(|origin| self.allow_origin(origin))
        });
        host.is_some_and(|host| self.allow_host(host)) && origin_is_good
    }
}

/// Answers 403 to a request with a foreign Host or Origin.
pub(crate) async fn check(State(names): State<Names>, request: Request, next: Next) -> Response {
    if names.allow(request.uri(), request.headers()) {
        return next.run(request).await;
    }
    tracing::warn!(
        host = ?request.headers().get(header::HOST),
        origin = ?request.headers().get(header::ORIGIN),
        "refused a request with a foreign Host or Origin"
    );
    (StatusCode::FORBIDDEN, "Host or Origin is not allowed\n").into_response()
}

fn port(scheme: &str, authority: &Authority) -> Option<u16> {
    authority.port_u16().or(match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(host: &'static str, origin: Option<&'static str>) -> bool {
        let names = Names::new(&Uri::from_static("https://mcp.example.com")).expect("absolute");
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().expect("header"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().expect("header"));
        }
        names.allow(&Uri::from_static("/mcp"), &headers)
    }

    #[test]
    fn tr_01_the_public_name_and_loopback_are_good() {
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
    fn tr_01_everything_else_is_foreign() {
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
