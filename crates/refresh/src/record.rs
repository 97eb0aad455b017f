//! [`GrantRecord`]: the stored form of a grant.

use std::{borrow::Cow, sync::Arc};

use portcullis_core::{BearerToken, Generation, Issuer, ScopeSet, UnixTime};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use portcullis_store::plaintext;

use crate::{TokenSet, token_set::Restored};

/// What is stored of a grant: its issuer and its tokens.
#[derive(Clone, Debug)]
pub struct GrantRecord {
    issuer: Issuer,
    tokens: Arc<TokenSet>,
}

/// The error of bytes that are not a record, or a record of an unknown version.
#[derive(Debug, thiserror::Error)]
#[error("not the record of a grant: {0}")]
#[non_exhaustive]
pub struct InvalidRecord(&'static str);

/// The JSON form of a record before it is sealed. Times are nanoseconds. The names are part of the database format.
#[derive(Serialize, Deserialize)]
struct Form<'a> {
    format: u32,
    #[serde(borrow)]
    issuer: Text<'a>,
    #[serde(borrow)]
    access_token: Text<'a>,
    generation: u64,
    began_at: u64,
    received_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_expires_at: Option<u64>,
    scopes: ScopeSet,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    further: Map<String, Value>,
}

/// A text that is borrowed from the plaintext, which is wiped. Only a text with escapes is copied.
#[derive(Serialize, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

const FORMAT: u32 = 1;

impl GrantRecord {
    /// Creates the record of a grant at the authorization server `issuer`.
    ///
    /// A record is used for this issuer only, so that no token is sent to another server when the configuration changes.
    #[must_use]
    pub const fn new(issuer: Issuer, tokens: Arc<TokenSet>) -> Self {
        Self { issuer, tokens }
    }

    /// Returns the issuer of the tokens.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Returns the tokens.
    #[must_use]
    pub const fn tokens(&self) -> &Arc<TokenSet> {
        &self.tokens
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let tokens = &*self.tokens;
        let form = Form {
            format: FORMAT,
            issuer: self.issuer.as_str().into(),
            access_token: tokens.access_token().expose_secret().into(),
            generation: tokens.generation().number(),
            began_at: tokens.began_at().as_nanos(),
            received_at: tokens.received_at().as_nanos(),
            expires_at: tokens.expires_at().map(UnixTime::as_nanos),
            refresh_token: tokens.refresh_token().map(|token| token.expose_secret().into()),
            refresh_expires_at: tokens.refresh_expires_at().map(UnixTime::as_nanos),
            scopes: tokens.scopes().clone(),
            further: tokens.extra().clone(),
        };
        plaintext(&form).expect("a record is plain data")
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidRecord> {
        let form: Form<'_> = serde_json::from_slice(bytes).map_err(|_| InvalidRecord("unknown form"))?;
        if form.format != FORMAT {
            return Err(InvalidRecord("of a later version"));
        }
        let token = BearerToken::issued(&form.access_token.0).map_err(|_| InvalidRecord("no access token"))?;
        let issuer = Issuer::new(&form.issuer.0).map_err(|_| InvalidRecord("no issuer"))?;
        let rest = Restored {
            refresh_token: form.refresh_token.map(|token| SecretString::from(&*token.0)),
            began_at: UnixTime::from_nanos(form.began_at),
            received_at: UnixTime::from_nanos(form.received_at),
            refresh_expires_at: form.refresh_expires_at.map(UnixTime::from_nanos),
            scopes: form.scopes,
            extra: form.further,
        };
        let expires_at = form.expires_at.map(UnixTime::from_nanos);
        let tokens = TokenSet::restored(token, Generation::new(form.generation), expires_at, rest);
        Ok(Self::new(issuer, Arc::new(tokens)))
    }
}
