//! [`Issuer`] and [`ResourceUri`]: identifiers that are URLs, and the validation that they share.

use std::{
    borrow::Borrow,
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
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

/// The identifier of an authorization server, stored as it was written.
///
/// An `https` URL without query and fragment (`http` for loopback).
/// [RFC 8414 section 2](https://www.rfc-editor.org/rfc/rfc8414#section-2). Compared as a string, byte for byte: never
/// normalized, because the claim `iss` must be *identical* to it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Issuer(Arc<str>);

impl Issuer {
    /// Parses an issuer identifier.
    ///
    /// # Errors
    /// [`InvalidUri`] if it is not an absolute `https` URL (or `http` on loopback), or has a query, a fragment or a
    /// user name.
    pub fn new(text: &str) -> Result<Self, InvalidUri> {
        validate(text, false)?;
        Ok(Self(text.into()))
    }

    /// Parses an issuer identifier that may also be plain `http`, for an authorization server in a private network.
    ///
    /// Its keys and tokens cross the network unprotected, so the caller must know the host. Deserialization does not accept such an issuer.
    ///
    /// # Errors
    /// [`InvalidUri`] as for [`Issuer::new`].
    pub fn in_private_network(text: &str) -> Result<Self, InvalidUri> {
        let https = text.strip_prefix("http://").map(|rest| format!("https://{rest}"));
        validate(https.as_deref().unwrap_or(text), false)?;
        Ok(Self(text.into()))
    }

    /// Returns the identifier as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Issuer {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Issuer {
    type Err = InvalidUri;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl Serialize for Issuer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Issuer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

/// The identifier of a protected resource (an MCP server), stored as it was written.
///
/// An absolute `https` URL without fragment (`http` for loopback): the canonical URI of
/// [RFC 8707 section 2](https://www.rfc-editor.org/rfc/rfc8707#section-2) and of MCP. Never normalized.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ResourceUri {
    text: Arc<str>,
    origin_len: usize,
}

impl ResourceUri {
    /// Parses a resource identifier.
    ///
    /// # Errors
    /// [`InvalidUri`] if it is not an absolute `https` URL (or `http` on loopback), or has a fragment or a user name.
    pub fn new(text: &str) -> Result<Self, InvalidUri> {
        validate(text, true)?;
        Ok(Self { text: text.into(), origin_len: origin_len(text) })
    }

    /// Returns the identifier as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns scheme, host and port, as written, without a trailing slash.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.text[..self.origin_len]
    }

    /// Returns path and query, as written; empty for a bare origin.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.text[self.origin_len..]
    }

    /// Reports whether `audience` names this resource.
    ///
    /// The two are compared as strings, except that the case of scheme and host is ignored (MCP, Canonical Server URI). Nothing else is
    /// normalized: a URI with a trailing slash is another resource.
    #[must_use]
    pub fn is_named_by(&self, audience: &str) -> bool {
        if audience == self.as_str() {
            return true;
        }
        let split = origin_len(audience);
        audience[..split].eq_ignore_ascii_case(self.origin()) && &audience[split..] == self.path_and_query()
    }
}

/// Returns the length of scheme and authority.
fn origin_len(text: &str) -> usize {
    let authority = text.find("://").map_or(0, |at| at + 3);
    text[authority..].find(['/', '?', '#']).map_or(text.len(), |at| authority + at)
}

impl fmt::Display for ResourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl FromStr for ResourceUri {
    type Err = InvalidUri;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl Serialize for ResourceUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ResourceUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_stored_as_written() {
        for text in ["https://idp.example.com", "https://idp.example.com/", "https://IDP.example.com:443/realms/x"] {
            assert_eq!(Issuer::new(text).expect(text).as_str(), text);
        }
        assert_ne!(Issuer::new("https://a.example"), Issuer::new("https://a.example/"));
    }

    #[test]
    fn plain_http_is_for_loopback() {
        for text in ["http://127.0.0.1:9000", "http://localhost/x", "http://[::1]:1", "http://idp.localhost"] {
            assert!(Issuer::new(text).is_ok(), "{text}");
        }
        for text in ["http://idp.example.com", "http://10.0.0.1", "http://localhost.example.com", "http://0.0.0.0"] {
            assert!(matches!(Issuer::new(text), Err(InvalidUri::NotHttps(_))), "{text}");
        }
    }

    #[test]
    fn text_that_is_not_an_identifier_is_rejected() {
        for text in [
            "",
            "idp",
            "/x",
            "ftp://a.example",
            "https://a.example?x",
            "https://a.example#x",
            "https://u@a.example",
            "https:a.example\\",
            " https://a.example",
            "https://bücher.example",
        ] {
            assert!(Issuer::new(text).is_err(), "{text:?}");
        }
    }

    fn resource(text: &str) -> ResourceUri {
        ResourceUri::new(text).expect(text)
    }

    #[test]
    fn a_uri_is_stored_as_written_and_split() {
        let bare = resource("https://mcp.example.com");
        assert_eq!((bare.origin(), bare.path_and_query()), ("https://mcp.example.com", ""));
        let deep = resource("https://mcp.example.com:8443/a/mcp?x=1");
        assert_eq!((deep.origin(), deep.path_and_query()), ("https://mcp.example.com:8443", "/a/mcp?x=1"));
    }

    #[test]
    fn only_scheme_and_host_ignore_case() {
        let mcp = resource("https://mcp.example.com/Mcp");
        assert!(mcp.is_named_by("https://mcp.example.com/Mcp"));
        assert!(mcp.is_named_by("HTTPS://MCP.Example.COM/Mcp"));
        for other in
            ["https://mcp.example.com/mcp", "https://mcp.example.com/Mcp/", "https://mcp.example.com", "", "Mcp", "é"]
        {
            assert!(!mcp.is_named_by(other), "{other}");
        }
        assert!(!resource("https://mcp.example.com").is_named_by("https://mcp.example.com/"));
    }

    #[test]
    fn a_fragment_and_http_without_loopback_are_rejected() {
        for text in ["https://a.example/#x", "http://a.example/mcp", "mcp", "https://u:p@a.example"] {
            assert!(ResourceUri::new(text).is_err(), "{text}");
        }
    }
}
