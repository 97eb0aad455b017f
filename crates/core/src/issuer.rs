//! [`Issuer`]: the identifier of an authorization server.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{InvalidUri, uri};

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
        uri::validate(text, false)?;
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
}
