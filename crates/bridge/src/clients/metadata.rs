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

use super::{ClientKeys, RedirectUri, redirect_uri::PLAIN_HTTP};
use crate::response::{ErrorCode, OAuthError};

/// The maximum length of a client name, in characters. The rest is cut off.
const MAX_NAME: usize = 200;

/// Members that are links for users. The bridge fetches none of them.
const LINKS: [&str; 4] = ["client_uri", "logo_uri", "policy_uri", "tos_uri"];

/// The members of a metadata document or of a registration request.
///
/// Unknown members are ignored; `null` and an empty string count as missing.
#[derive(Debug)]
pub(super) struct ClientMetadata(Map<String, Value>);

/// An invalid member. The member and the reason are constants, so they may be sent to the client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct InvalidMetadata {
    pub(super) member: &'static str,
    /// What was expected.
    pub(super) why: &'static str,
    /// The value in the metadata, for the log only.
    pub(super) found: Option<String>,
    /// The configuration key by which the operator can accept it.
    pub(super) key: Option<&'static str>,
}

/// The redirect URIs of a client: those that are accepted, and the others.
#[derive(Debug)]
pub(super) struct RedirectUris {
    pub(super) accepted: Vec<RedirectUri>,
    pub(super) rejected: Vec<InvalidMetadata>,
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
        self.0.get(member).filter(|value| !value.is_null() && value.as_str() != Some(""))
    }

    pub(super) fn has(&self, member: &str) -> bool {
        self.value(member).is_some()
    }

    /// Returns the invalid member `member`, with its value for the log.
    pub(super) fn invalid(&self, member: &'static str, why: &'static str) -> InvalidMetadata {
        let found = self.value(member).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        InvalidMetadata { found: found.map(|found| for_log(&found)), ..InvalidMetadata::new(member, why) }
    }

    /// Returns a member that is a string.
    pub(super) fn text(&self, member: &'static str) -> Result<Option<&str>, InvalidMetadata> {
        match self.value(member) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(member, "must be a string")),
        }
    }

    /// Returns a member that is an array of strings. Elements that are `null` are skipped.
    pub(super) fn texts(&self, member: &'static str) -> Result<Option<Vec<&str>>, InvalidMetadata> {
        let Some(value) = self.value(member) else { return Ok(None) };
        let texts = value
            .as_array()
            .and_then(|values| values.iter().filter(|value| !value.is_null()).map(Value::as_str).collect());
        texts.map(Some).ok_or_else(|| self.invalid(member, "must be an array of strings"))
    }

    /// Returns `client_name`, cut off at 200 characters, if it is usable.
    pub(super) fn name(&self) -> Option<Box<str>> {
        let name = self.value("client_name")?.as_str()?;
        let end = name.char_indices().nth(MAX_NAME).map_or(name.len(), |(end, _)| end);
        Some(&name[..end]).filter(|name| !name.trim().is_empty()).map(Into::into)
    }

    /// Returns `client_uri` if it is `http` or `https`, so that no browser acts on it in another way.
    pub(super) fn home_page(&self) -> Option<Box<str>> {
        self.value(LINKS[0])?.as_str().filter(|link| is_http_url(link)).map(Into::into)
    }

    /// Returns the names of the members that are not usable and without effect on security, so that they are ignored.
    pub(super) fn unusable_members(&self) -> Vec<&'static str> {
        let is_usable = |member| match (self.value(member), member) {
            (None, _) => true,
            (Some(Value::String(name)), "client_name") => name.chars().count() <= MAX_NAME,
            (Some(Value::String(link)), _) => is_http_url(link),
            (Some(_), _) => false,
        };
        LINKS.into_iter().chain(["client_name"]).filter(|member| !is_usable(*member)).collect()
    }

    /// Returns `redirect_uris`. Those that cannot be used are no reason to reject the others.
    ///
    /// # Errors
    /// The reason for the first one, if none can be used.
    pub(super) fn redirect_uris(&self, http_hosts: &[Box<str>]) -> Result<RedirectUris, InvalidMetadata> {
        const MEMBER: &str = "redirect_uris";
        let mut uris = RedirectUris { accepted: Vec::new(), rejected: Vec::new() };
        for text in self.texts(MEMBER)?.unwrap_or_default() {
            match RedirectUri::with_http_hosts(text, http_hosts) {
                Ok(uri) => uris.accepted.push(uri),
                Err(invalid) => uris.rejected.push(InvalidMetadata {
                    member: MEMBER,
                    why: invalid.why,
                    found: Some(for_log(text)),
                    key: (invalid.why == PLAIN_HTTP).then_some("bridge.http_redirect_hosts"),
                }),
            }
        }
        match (uris.accepted.first(), uris.rejected.first()) {
            (Some(_), _) => Ok(uris),
            (None, Some(first)) => Err(first.clone()),
            (None, None) => Err(InvalidMetadata::new(MEMBER, "is missing or empty")),
        }
    }

    /// Returns the keys, which `private_key_jwt` requires. The log never has the value of `jwks`, which may be a private key.
    pub(super) fn keys(&self) -> Result<ClientKeys, InvalidMetadata> {
        match (self.text("jwks_uri")?, self.value("jwks")) {
            (Some(_), Some(_)) => Err(InvalidMetadata::new("jwks", "excludes jwks_uri")),
            (Some(url), None) if is_http_url(url) => Ok(ClientKeys::JwksUri(url.into())),
            (Some(_), None) => Err(self.invalid("jwks_uri", "must be an http or https URL")),
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
        Self { member, why, found: None, key: None }
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
        let InvalidMetadata { why, found, key, .. } = &invalid;
        let error = Self::new(code, invalid.to_string()).with_found(found.as_deref().unwrap_or("no usable value"), why);
        (*key).into_iter().fold(error, Self::with_key)
    }
}

/// Reports whether `text` is an `https` or `http` URL that every parser reads alike.
pub(super) fn is_http_url(text: &str) -> bool {
    let is_plain =
        text.chars().all(|character| !character.is_control() && !character.is_whitespace() && character != '\\');
    let starts = ["https://", "http://"].iter().any(|scheme| text.starts_with(scheme));
    is_plain && starts && Url::parse(text).is_ok_and(|url| url.has_host() && url.username().is_empty())
}

/// Returns untrusted text for a log: at most 200 characters, without user name and password of a URL.
pub(crate) fn for_log(text: &str) -> String {
    let text: String = text.chars().take(200).collect();
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://…{}", &rest[at..]),
        None => text,
    }
}
