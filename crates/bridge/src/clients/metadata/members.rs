//! [`Members`]: what a client says of itself, member by member.

use portcullis_oauth::{
    jwt::KeySet,
    strict_json::{self, InvalidJson},
};
use serde_json::{Map, Value};

use super::{InvalidMetadata, is_web};
use crate::clients::ClientKeys;

/// Longer names are no names.
const MAX_NAME: usize = 200;

/// A member that leads somewhere if a user follows it. None of them is fetched.
const LINKS: [&str; 4] = ["client_uri", "logo_uri", "policy_uri", "tos_uri"];

/// What a client says of itself. Members that are not asked for are ignored, and `null` is as good as nothing.
#[derive(Debug)]
pub(in crate::clients) struct Members(Map<String, Value>);

impl Members {
    /// The members of the object in `text`.
    ///
    /// # Errors
    /// [`InvalidJson`] if it is not the JSON of an object, or repeats a member.
    pub(in crate::clients) fn parse(text: &[u8]) -> Result<Self, InvalidJson> {
        Ok(Self(strict_json::parse_object(text)?))
    }

    fn value(&self, member: &str) -> Option<&Value> {
        self.0.get(member).filter(|value| !value.is_null())
    }

    pub(in crate::clients) fn has(&self, member: &str) -> bool {
        self.value(member).is_some()
    }

    /// A string.
    pub(in crate::clients) fn text(&self, member: &'static str) -> Result<Option<&str>, InvalidMetadata> {
        match self.value(member) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(InvalidMetadata::new(member, "it is not a string")),
        }
    }

    /// An array of strings.
    pub(in crate::clients) fn texts(&self, member: &'static str) -> Result<Option<Vec<&str>>, InvalidMetadata> {
        let Some(value) = self.value(member) else { return Ok(None) };
        let texts = value.as_array().and_then(|values| values.iter().map(Value::as_str).collect());
        texts.map(Some).ok_or_else(|| InvalidMetadata::new(member, "it is not an array of strings"))
    }

    /// What it calls itself.
    pub(in crate::clients) fn name(&self) -> Result<Option<&str>, InvalidMetadata> {
        match self.text("client_name")? {
            Some(name) if name.chars().count() > MAX_NAME => Err(InvalidMetadata::new("client_name", "it is too long")),
            name => Ok(name.filter(|name| !name.trim().is_empty())),
        }
    }

    /// Its home page, if all links are links to pages: nothing that a browser would act on.
    pub(in crate::clients) fn home_page(&self) -> Result<Option<&str>, InvalidMetadata> {
        for member in LINKS {
            if self.text(member)?.is_some_and(|link| !is_web(link)) {
                return Err(InvalidMetadata::new(member, "it is not the URL of a page"));
            }
        }
        self.text(LINKS[0])
    }

    /// The keys it signs by, which it must have.
    pub(in crate::clients) fn keys(&self) -> Result<ClientKeys, InvalidMetadata> {
        match (self.text("jwks_uri")?, self.value("jwks")) {
            (Some(_), Some(_)) => Err(InvalidMetadata::new("jwks", "there is a jwks_uri as well")),
            (Some(url), None) if is_web(url) => Ok(ClientKeys::JwksUri(url.into())),
            (Some(_), None) => Err(InvalidMetadata::new("jwks_uri", "it is not the URL of a key set")),
            (None, Some(jwks)) if KeySet::parse(jwks.to_string().as_bytes()).is_ok() => {
                Ok(ClientKeys::Jwks(jwks.clone()))
            }
            (None, Some(_)) => Err(InvalidMetadata::new("jwks", "there is no public key in it that can be used")),
            (None, None) => Err(InvalidMetadata::new("jwks_uri", "this or jwks is needed for private_key_jwt")),
        }
    }
}
