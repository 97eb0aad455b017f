//! [`ClientUrl`]: a client id that is the URL of a document.

use http::Uri;
use url::{Host, Url};

use super::ClientMetadataDocumentPolicy;

/// The maximum length. Ids are stored and shown.
const MAX_LEN: usize = 1024;

/// A client id that is the URL of a document: `https`, with a path that is not the root, in its canonical form.
///
/// It has no user name, default port, dot segments, query or fragment. So two ids never name the same document, and every parser finds
/// the same host. draft-ietf-oauth-client-id-metadata-document, section 3.
#[derive(Clone, Debug)]
pub(super) struct ClientUrl {
    text: Box<str>,
    uri: Uri,
    host: Box<str>,
}

impl ClientUrl {
    /// Parses the client id `id`, and checks that `policy` allows its host.
    ///
    /// # Errors
    /// The reason, as an `error_description`.
    pub(super) fn parse(id: &str, policy: &ClientMetadataDocumentPolicy) -> Result<Self, &'static str> {
        const NOT_CANONICAL: &str = "client_id is not a canonical URL without query or fragment";
        let url = Url::parse(id).ok().filter(|url| url.as_str() == id && id.len() <= MAX_LEN).ok_or(NOT_CANONICAL)?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(NOT_CANONICAL);
        }
        if matches!(url.path(), "" | "/") {
            return Err("client_id is a URL without a path");
        }
        let is_loopback = is_loopback(&url);
        match url.scheme() {
            "https" if policy.allows_loopback || !is_loopback => {}
            "http" if policy.allows_loopback && is_loopback => {}
            _ => return Err("client_id is not a public https URL"),
        }
        let host = host(&url).ok_or(NOT_CANONICAL)?;
        if !policy.is_host_allowed(&host) {
            return Err("clients of this host are not allowed");
        }
        let uri = id.parse().map_err(|_| NOT_CANONICAL)?;
        Ok(Self { text: id.into(), uri, host: host.into() })
    }

    /// Returns the URL as it was written.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Returns the host, with the port unless it is the default one.
    pub(super) fn host(&self) -> &str {
        &self.host
    }
}

fn host(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
