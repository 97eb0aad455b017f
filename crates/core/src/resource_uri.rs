//! [`ResourceUri`]: the identifier of a protected resource.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{InvalidUri, uri};

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
        uri::validate(text, true)?;
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
