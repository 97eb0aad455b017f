//! [`ClientMetadata`]: the members of a metadata document or of a registration request, which are read in the same way.
//!
//! [RFC 7591 section 2](https://www.rfc-editor.org/rfc/rfc7591#section-2).

use std::fmt;

use portcullis_oauth::{
    jwt::KeySet,
    strict_json::{self, InvalidJson},
};
use serde_json::{Map, Value};
use url::Url;

use super::ClientKeys;
use crate::response::{ErrorCode, OAuthError};

/// The maximum length of a client name, in characters.
const MAX_NAME: usize = 200;

/// Members that are links for users. The bridge fetches none of them.
const LINKS: [&str; 4] = ["client_uri", "logo_uri", "policy_uri", "tos_uri"];

/// The members of a metadata document or of a registration request. Unknown members are ignored, and `null` counts as missing.
#[derive(Debug)]
pub(super) struct ClientMetadata(Map<String, Value>);

/// An invalid member. The texts are constants, so they may be sent to the client and logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct InvalidMetadata {
    pub(super) member: &'static str,
    pub(super) why: &'static str,
}

impl ClientMetadata {
    /// Parses the JSON object in `text`.
    ///
    /// # Errors
    /// [`InvalidJson`] if `text` is not a JSON object, or repeats a member.
    pub(super) fn parse(text: &[u8]) -> Result<Self, InvalidJson> {
        Ok(Self(strict_json::parse_object(text)?))
    }

    fn value(&self, member: &str) -> Option<&Value> {
        self.0.get(member).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, member: &str) -> bool {
        self.value(member).is_some()
    }

    /// Returns a member that is a string.
    pub(super) fn text(&self, member: &'static str) -> Result<Option<&str>, InvalidMetadata> {
        match self.value(member) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(InvalidMetadata::new(member, "must be a string")),
        }
    }

    /// Returns a member that is an array of strings.
    pub(super) fn texts(&self, member: &'static str) -> Result<Option<Vec<&str>>, InvalidMetadata> {
        let Some(value) = self.value(member) else { return Ok(None) };
        let texts = value.as_array().and_then(|values| values.iter().map(Value::as_str).collect());
        texts.map(Some).ok_or_else(|| InvalidMetadata::new(member, "must be an array of strings"))
    }

    /// Returns `client_name`.
    pub(super) fn name(&self) -> Result<Option<&str>, InvalidMetadata> {
        match self.text("client_name")? {
            Some(name) if name.chars().count() > MAX_NAME => Err(InvalidMetadata::new("client_name", "too long")),
            name => Ok(name.filter(|name| !name.trim().is_empty())),
        }
    }

    /// Returns `client_uri`. All links must be `http` or `https`, so that no browser acts on them in another way.
    pub(super) fn home_page(&self) -> Result<Option<&str>, InvalidMetadata> {
        for member in LINKS {
            if self.text(member)?.is_some_and(|link| !is_http_url(link)) {
                return Err(InvalidMetadata::new(member, "must be an http or https URL"));
            }
        }
        self.text(LINKS[0])
    }

    /// Returns the keys, which `private_key_jwt` requires.
    pub(super) fn keys(&self) -> Result<ClientKeys, InvalidMetadata> {
        match (self.text("jwks_uri")?, self.value("jwks")) {
            (Some(_), Some(_)) => Err(InvalidMetadata::new("jwks", "excludes jwks_uri")),
            (Some(url), None) if is_http_url(url) => Ok(ClientKeys::JwksUri(url.into())),
            (Some(_), None) => Err(InvalidMetadata::new("jwks_uri", "must be an http or https URL")),
            (None, Some(jwks)) if KeySet::parse(jwks.to_string().as_bytes()).is_ok() => {
                Ok(ClientKeys::Jwks(jwks.clone()))
            }
            (None, Some(_)) => Err(InvalidMetadata::new("jwks", "has no supported public key")),
            (None, None) => Err(InvalidMetadata::new("jwks_uri", "private_key_jwt requires jwks_uri or jwks")),
        }
    }
}

impl InvalidMetadata {
    pub(super) const fn new(member: &'static str, why: &'static str) -> Self {
        Self { member, why }
    }
}

impl fmt::Display for InvalidMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.member, self.why)
    }
}

/// The response to a registration request. [RFC 7591 section 3.2.2](https://www.rfc-editor.org/rfc/rfc7591#section-3.2.2)
impl From<InvalidMetadata> for OAuthError {
    fn from(invalid: InvalidMetadata) -> Self {
        let code = match invalid.member {
            "redirect_uris" => ErrorCode::InvalidRedirectUri,
            _ => ErrorCode::InvalidClientMetadata,
        };
        Self::new(code, invalid.to_string())
    }
}

/// Reports whether `text` is an `https` or `http` URL that every parser reads alike.
pub(super) fn is_http_url(text: &str) -> bool {
    let is_plain =
        text.chars().all(|character| !character.is_control() && !character.is_whitespace() && character != '\\');
    let starts = ["https://", "http://"].iter().any(|scheme| text.starts_with(scheme));
    is_plain && starts && Url::parse(text).is_ok_and(|url| url.has_host() && url.username().is_empty())
}
