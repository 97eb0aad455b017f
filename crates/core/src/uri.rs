//! The validation that [`Issuer`](crate::Issuer) and [`ResourceUri`](crate::ResourceUri) share.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// An error for text that is not an [`Issuer`](crate::Issuer) or [`ResourceUri`](crate::ResourceUri).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUri {
    /// Not an absolute URL with a host.
    #[error("not an absolute URL: {0:?}")]
    NotAbsolute(String),
    /// Plain `http` to a host that is not loopback: tokens would cross the network unprotected.
    #[error("must be https (http is allowed for loopback only): {0:?}")]
    NotHttps(String),
    /// A part that identifiers must not have: a query, a fragment or a user name.
    #[error("must not have a {1}: {0:?}")]
    Forbidden(String, &'static str),
}

/// Validates `text`. Identifiers are compared as strings, never as the parsed URL.
pub(crate) fn validate(text: &str, query_allowed: bool) -> Result<Url, InvalidUri> {
    let url = Url::parse(text).map_err(|_| InvalidUri::NotAbsolute(text.to_owned()))?;
    let host = url.host().ok_or_else(|| InvalidUri::NotAbsolute(text.to_owned()))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&host) => {}
        "http" => return Err(InvalidUri::NotHttps(text.to_owned())),
        _ => return Err(InvalidUri::NotAbsolute(text.to_owned())),
    }
    // `Url::parse` trims and repairs its input. Text that it would repair is not an identifier that compares equal as a string.
    if text.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control() || b == b'\\' || !b.is_ascii()) {
        return Err(InvalidUri::NotAbsolute(text.to_owned()));
    }
    if url.fragment().is_some() {
        return Err(InvalidUri::Forbidden(text.to_owned(), "fragment"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidUri::Forbidden(text.to_owned(), "user name"));
    }
    if url.query().is_some() && !query_allowed {
        return Err(InvalidUri::Forbidden(text.to_owned(), "query"));
    }
    Ok(url)
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => Ipv4Addr::is_loopback(address),
        Host::Ipv6(address) => Ipv6Addr::is_loopback(address),
    }
}
