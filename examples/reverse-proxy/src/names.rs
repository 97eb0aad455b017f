//! [`Names`]: the names by which clients may address the proxy, checked before any token: the defence against DNS rebinding.

use http::{HeaderMap, Uri, header, uri::Authority};

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The names by which clients may address the proxy: the host of the resource, and loopback, at any port.
///
/// The upstream cannot check them: the proxy replaces `Host` by the upstream's name.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    public: String,
}

impl Names {
    pub(crate) fn new(resource: &Uri) -> Self {
        Self { public: resource.host().unwrap_or_default().to_ascii_lowercase() }
    }

    /// Reports whether `Host` names this proxy, and so does `Origin`, which only browsers send.
    pub(crate) fn allow(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        // Over HTTP/2 the authority is part of the URI.
        let host = uri.authority().map(Authority::as_str).or_else(|| headers.get(header::HOST)?.to_str().ok());
        let mut origins = headers.get_all(header::ORIGIN).iter().map(|origin| origin.to_str().ok());
        host.is_some_and(|host| self.is_ours(host))
            && origins.all(|origin| origin.and_then(without_scheme).is_some_and(|host| self.is_ours(host)))
    }

    fn is_ours(&self, authority: &str) -> bool {
        let parsed: Option<Authority> = authority.parse().ok().filter(|_| !authority.contains('@'));
        let host = parsed.map(|authority| authority.host().to_ascii_lowercase());
        host.is_some_and(|host| host == self.public || LOOPBACK.contains(&&*host))
    }
}

fn without_scheme(origin: &str) -> Option<&str> {
    origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"))
}
