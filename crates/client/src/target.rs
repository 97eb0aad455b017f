//! [`Target`]: which requests an access token may be attached to.

use http::Uri;
use portcullis_core::ResourceUri;

/// The requests that a resource covers: those to its origin, at its path or below.
#[derive(Clone, Debug)]
pub(crate) struct Target(Option<Resource>);

#[derive(Clone, Debug)]
struct Resource {
    scheme: Box<str>,
    host: Box<str>,
    port: Option<u16>,
    path: Box<str>,
    query: Option<Box<str>>,
}

impl Target {
    /// Creates the target for a resource. A resource that is no URI for the crate `http` covers no request.
    pub(crate) fn new(resource: &ResourceUri) -> Self {
        let uri: Option<Uri> = resource.as_str().parse().ok();
        Self(uri.and_then(|uri| {
            Some(Resource {
                scheme: uri.scheme_str()?.into(),
                host: uri.host()?.into(),
                port: port(&uri),
                path: uri.path().into(),
                query: uri.query().map(Box::from),
            })
        }))
    }

    /// Reports whether a request to `uri` is a request to the resource.
    ///
    /// A path with a dot segment is not covered, in any encoding: the server that decodes it may find another resource there.
    pub(crate) fn covers(&self, uri: &Uri) -> bool {
        let (Some(resource), Some(scheme), Some(host)) = (&self.0, uri.scheme_str(), uri.host()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(&resource.scheme)
            && host.eq_ignore_ascii_case(&resource.host)
            && port(uri) == resource.port
            && is_at_or_below(&resource.path, uri.path())
            && (resource.query.is_none() || resource.query.as_deref() == uri.query())
            && !has_dot_segment(uri.path())
    }
}

fn port(uri: &Uri) -> Option<u16> {
    uri.port_u16().or_else(|| match uri.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    })
}

fn is_at_or_below(base: &str, path: &str) -> bool {
    path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || base.ends_with('/') || rest.starts_with('/'))
}

/// Reports whether a segment of `path` is `.` or `..`, also after its percent-encoded dots and slashes are decoded.
fn has_dot_segment(path: &str) -> bool {
    if !path.contains(['%', '\\']) && !path.contains("/.") {
        return false;
    }
    let decoded =
        path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/").replace('\\', "/");
    // A path parameter, as in `..;a=b`, is no part of the name of a segment.
    decoded.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(resource: &str, uri: &str) -> bool {
        Target::new(&ResourceUri::new(resource).expect("a resource")).covers(&uri.parse().expect("a URI"))
    }

    #[test]
    fn g12_a_resource_covers_its_origin_at_its_path_and_below() {
        for uri in [
            "https://mcp.example/a",
            "HTTPS://MCP.example:443/a",
            "https://mcp.example/a/b?c=d",
            "https://mcp.example/a?b",
        ] {
            assert!(covers("https://mcp.example/a", uri), "{uri}");
        }
        assert!(covers("https://mcp.example", "https://mcp.example/a"));
        assert!(covers("https://mcp.example", "https://mcp.example"));
        assert!(covers("https://mcp.example:8443/a/", "https://mcp.example:8443/a/b"));
        assert!(covers("http://127.0.0.1:80/v1.0/a", "http://127.0.0.1/v1.0/a"));
        assert!(covers("https://mcp.example/a?tenant=1", "https://mcp.example/a?tenant=1"));
    }

    #[test]
    fn g12_a_resource_covers_nothing_else() {
        for uri in [
            "http://mcp.example/a",
            "https://mcp.example:8443/a",
            "https://mcp.example.evil/a",
            "https://evil/a",
            "https://mcp.example@evil/a",
            "https://mcp.example/",
            "https://mcp.example/ab",
            "https://mcp.example/A",
            "https://mcp.example/a/../b",
            "https://mcp.example/a/%2E%2e/b",
            "https://mcp.example/a/..%2fb",
            "https://mcp.example/a/..%5Cb",
            "https://mcp.example/a/..;x=y/b",
            "https://mcp.example/a/./b",
            "/a",
            "mcp.example:443",
        ] {
            assert!(!covers("https://mcp.example/a", uri), "{uri}");
        }
        assert!(!covers("https://mcp.example/a/", "https://mcp.example/a"));
        assert!(!covers("https://mcp.example/a?tenant=1", "https://mcp.example/a?tenant=2"));
        assert!(!covers("https://mcp.example/a?tenant=1", "https://mcp.example/a"));
    }
}
