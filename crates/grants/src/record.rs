//! [`GrantRecord`]: what is kept of a grant.

use std::{borrow::Cow, sync::Arc};

use portcullis_core::{BearerToken, Generation, ScopeSet, UnixTime};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::{TokenSet, token_set::Restored};

/// What is kept of a grant: whose it is, and its tokens.
#[derive(Clone, Debug)]
pub struct GrantRecord {
    provider: Arc<str>,
    tokens: Arc<TokenSet>,
}

/// Bytes that are no record, or one of a version that this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("not the record of a grant: {0}")]
#[non_exhaustive]
pub struct InvalidRecord(&'static str);

/// The form in which a record is sealed. Times are nanoseconds.
#[derive(Serialize, Deserialize)]
struct Form<'a> {
    format: u32,
    #[serde(borrow)]
    provider: Cow<'a, str>,
    #[serde(borrow)]
    access_token: Cow<'a, str>,
    generation: u64,
    received_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_expires_at: Option<u64>,
    scopes: ScopeSet,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    further: Map<String, Value>,
}

const FORMAT: u32 = 1;

impl GrantRecord {
    /// The tokens of a grant at `provider`: the name under which this server knows it.
    ///
    /// A record is used for the provider of this name only, so that no token goes to somebody else when the configuration
    /// changes.
    #[must_use]
    pub fn new(provider: &str, tokens: Arc<TokenSet>) -> Self {
        Self { provider: provider.into(), tokens }
    }

    /// The provider.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The tokens.
    #[must_use]
    pub const fn tokens(&self) -> &Arc<TokenSet> {
        &self.tokens
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let tokens = &*self.tokens;
        let form = Form {
            format: FORMAT,
            provider: Cow::Borrowed(&self.provider),
            access_token: Cow::Borrowed(tokens.access_token().expose_secret()),
            generation: tokens.generation().number(),
            received_at: tokens.received_at().as_nanos(),
            expires_at: tokens.expires_at().map(UnixTime::as_nanos),
            refresh_token: tokens.refresh_token().map(|token| Cow::Borrowed(token.expose_secret())),
            refresh_expires_at: tokens.refresh_expires_at().map(UnixTime::as_nanos),
            scopes: tokens.scopes().clone(),
            further: tokens.further().clone(),
        };
        // Room enough from the start: what a growing vector leaves behind is not wiped.
        let mut bytes = Zeroizing::new(Vec::with_capacity(16 * 1024));
        serde_json::to_writer(&mut *bytes, &form).expect("a record is plain data");
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidRecord> {
        let form: Form<'_> = serde_json::from_slice(bytes).map_err(|_| InvalidRecord("unknown form"))?;
        if form.format != FORMAT {
            return Err(InvalidRecord("of a later version"));
        }
        let token = BearerToken::issued(&form.access_token).map_err(|_| InvalidRecord("no access token"))?;
        let rest = Restored {
            refresh_token: form.refresh_token.map(|token| SecretString::from(&*token)),
            received_at: UnixTime::from_nanos(form.received_at),
            refresh_expires_at: form.refresh_expires_at.map(UnixTime::from_nanos),
            scopes: form.scopes,
            further: form.further,
        };
        let expires_at = form.expires_at.map(UnixTime::from_nanos);
        let tokens = TokenSet::restored(token, Generation::new(form.generation), expires_at, rest);
        Ok(Self::new(&form.provider, Arc::new(tokens)))
    }
}
