//! [`ServerNames`]: the names of the server and the origins of its clients, for the check of `Host` and `Origin` and for CORS.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Router, middleware, middleware::Next};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use portcullis::ResourceUri;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::connections::LogRateLimit;

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
/// The beginning of the paths of metadata documents, which are public (TR-13).
const WELL_KNOWN: &str = "/.well-known/";
/// The number of characters of a foreign name that the log shows.
const LONGEST_LOGGED: usize = 200;

/// The names by which clients may address a server, and the origins of the web pages that may call it: the defence against DNS
/// rebinding (TR-1).
///
/// The names are the host of the resource, loopback and [`with_hosts`](Self::with_hosts), at any port. The origins are that of the
/// resource, loopback at any port and [`with_origins`](Self::with_origins).
///
/// `X-Forwarded-Host` is ignored, because any client can send it. A reverse proxy that replaces `Host` must check the name itself.
#[derive(Clone, Debug)]
pub struct ServerNames {
    public: Option<Origin>,
    hosts: Vec<String>,
    origins: Vec<Origin>,
}

/// An origin, with the default port of its scheme filled in. The opaque origin `null` has the scheme `null`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

/// The header of a request that has no name or origin of the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Foreign {
    Host,
    Origin,
}

impl ServerNames {
    /// Returns the names of the server of `resource`.
    #[must_use]
    pub fn new(resource: &ResourceUri) -> Self {
        Self { public: Origin::parse(resource.origin()), hosts: Vec::new(), origins: Vec::new() }
    }

    /// Adds host names, without ports.
    #[must_use]
    pub fn with_hosts<'a>(mut self, hosts: impl IntoIterator<Item = &'a str>) -> Self {
        self.hosts.extend(hosts.into_iter().map(str::to_ascii_lowercase));
        self
    }

    /// Adds origins, such as `https://app.example`, or `null`, the origin of sandboxed pages. What is not an origin is ignored.
    #[must_use]
    pub fn with_origins<'a>(mut self, origins: impl IntoIterator<Item = &'a str>) -> Self {
        self.origins.extend(origins.into_iter().filter_map(Origin::parse));
        self
    }

    /// Returns the host names.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &str> {
        let public = self.public.iter().map(|origin| &*origin.host);
        LOOPBACK.into_iter().chain(public).chain(self.hosts.iter().map(String::as_str))
    }

    /// Reports whether `Host` and, if it is present, `Origin` of a request are allowed.
    #[must_use]
    pub fn allow(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        self.foreign(uri, headers).is_none()
    }

    fn foreign(&self, uri: &Uri, headers: &HeaderMap) -> Option<Foreign> {
        // Over HTTP/2 the authority is part of the URI.
        let host = uri.authority().map(Authority::as_str).or_else(|| headers.get(header::HOST)?.to_str().ok());
        if !host.is_some_and(|host| self.allow_host(host)) {
            return Some(Foreign::Host);
        }
        // Browsers send `Origin`, and so do some hosted clients.
        let is_allowed = headers.get_all(header::ORIGIN).iter().all(|origin| self.allow_origin(origin));
        (!is_allowed).then_some(Foreign::Origin)
    }

    fn allow_host(&self, host: &str) -> bool {
        authority(host).is_some_and(|(host, _)| self.hosts().any(|name| name == host))
    }

    fn allow_origin(&self, origin: &HeaderValue) -> bool {
        let Some(origin) = origin.to_str().ok().and_then(Origin::parse) else { return false };
        origin.is_loopback() || self.public.as_ref() == Some(&origin) || self.origins.contains(&origin)
    }

    /// Puts the CORS layer and the check of `Host` and `Origin` in front of `routes`.
    pub(crate) fn protect(self, routes: Router) -> Router {
        routes.layer(middleware::from_fn_with_state(self.clone(), check)).layer(self.cors())
    }

    /// Returns the CORS layer of an MCP endpoint (TR-12). It is outside of authentication: a preflight request carries no token, and
    /// error responses need these headers too.
    ///
    /// It allows the origins that the check allows, and for metadata documents every origin. The requested headers are mirrored
    /// because `Mcp-Param-*` is open, and `*` would not cover `Authorization`. A client can read the challenge only if
    /// `WWW-Authenticate` is exposed.
    fn cors(self) -> CorsLayer {
        let allow = move |origin: &HeaderValue, request: &http::request::Parts| {
            request.uri.path().starts_with(WELL_KNOWN) || self.allow_origin(origin)
        };
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(allow))
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([header::WWW_AUTHENTICATE, HeaderName::from_static("mcp-session-id")])
            .max_age(Duration::from_secs(3600))
    }
}

impl Origin {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "null" {
            return Some(Self { scheme: text.to_owned(), host: String::new(), port: None });
        }
        let (scheme, rest) = text.split_once("://")?;
        let (host, port) = authority(rest)?;
        let default_port = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        Some(Self { scheme: scheme.to_owned(), host, port: port.or(default_port) })
    }

    fn is_loopback(&self) -> bool {
        ["http", "https"].contains(&&*self.scheme) && LOOPBACK.contains(&&*self.host)
    }
}

/// Returns the host and the port of `text`, which has neither a user name nor a path.
pub(crate) fn authority(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.parse().ok()?;
    (!text.contains('@')).then(|| (authority.host().to_ascii_lowercase(), authority.port_u16()))
}

/// Rejects a request with a foreign `Host` or `Origin` with 403. Metadata documents are exempt.
async fn check(State(names): State<ServerNames>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with(WELL_KNOWN) {
        return next.run(request).await;
    }
    let Some(foreign) = names.foreign(request.uri(), request.headers()) else { return next.run(request).await };
    names.log(foreign, &request);
    let body = match foreign {
        Foreign::Host => "The Host of this request is not a name of this server (allowed_hosts)\n",
        Foreign::Origin => "The Origin of this request is not allowed (allowed_origins)\n",
    };
    (StatusCode::FORBIDDEN, body).into_response()
}

impl ServerNames {
    /// Logs a rejection: what was found, what was expected, and the key to set. Clients can cause rejections at will, so the lines are
    /// limited in number and length.
    fn log(&self, foreign: Foreign, request: &Request) {
        static HOSTS: LogRateLimit = LogRateLimit::new();
        static ORIGINS: LogRateLimit = LogRateLimit::new();
        let found = |name| {
            let values = request.headers().get_all(name).iter();
            let text = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", ");
            text.chars().take(LONGEST_LOGGED).collect::<String>()
        };
        match foreign {
            Foreign::Host => {
                let Some(count) = HOSTS.record() else { return };
                let authority = request.uri().authority().map(Authority::as_str);
                let host =
                    authority.map_or_else(|| found(header::HOST), |host| host.chars().take(LONGEST_LOGGED).collect());
                let expected = self.hosts().collect::<Vec<_>>().join(", ");
                tracing::warn!(
                    ?host,
                    expected,
                    count,
                    "requests with a foreign Host were rejected with 403; a name that a proxy sends belongs into `allowed_hosts`"
                );
            }
            Foreign::Origin => {
                let Some(count) = ORIGINS.record() else { return };
                let origin = found(header::ORIGIN);
                tracing::warn!(
                    ?origin,
                    count,
                    "requests with a foreign Origin were rejected with 403; the origin of a client belongs into `allowed_origins`"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(host: &'static str, origin: Option<&'static str>) -> bool {
        let resource = ResourceUri::new("https://mcp.example.com/mcp").expect("resource");
        let names =
            ServerNames::new(&resource).with_hosts(["service"]).with_origins(["https://app.example:8443", "null"]);
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().expect("header"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().expect("header"));
        }
        names.allow(&Uri::from_static("/mcp"), &headers)
    }

    #[test]
    fn tr_01_the_public_name_loopback_and_configured_names_are_allowed() {
        for host in
            ["mcp.example.com", "MCP.example.com:443", "localhost:8000", "127.0.0.1", "[::1]:8000", "service:8000"]
        {
            assert!(allowed(host, None), "{host}");
        }
        for origin in [
            "https://mcp.example.com",
            "https://mcp.example.com:443",
            "http://localhost:6274",
            "http://[::1]:1",
            "https://app.example:8443",
            "null",
        ] {
            assert!(allowed("mcp.example.com", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn tr_01_other_names_are_rejected() {
        for host in [
            "evil.example",
            "mcp.example.com.evil.example",
            "localhost@evil.example",
            "",
            "127.0.0.1.evil.example",
            "service.evil.example",
            "app.example",
        ] {
            assert!(!allowed(host, None), "{host}");
        }
        for origin in [
            "http://mcp.example.com",
            "https://mcp.example.com:8443",
            "https://evil.example",
            "https://app.example",
            "http://app.example:8443",
            "null.example",
            "chrome-extension://localhost",
            "",
            "https://localhost@evil.example",
            "http://localhost.evil.example",
        ] {
            assert!(!allowed("mcp.example.com", Some(origin)), "{origin}");
        }
    }
}
