//! [`SessionBinding`]: a session id is valid only for the principal that it was issued to.
//!
//! It applies to the protocol versions until 2025-11-25. Later versions have no sessions, so the header is removed before the inner
//! service could use it.

use std::fmt;

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_core::{AuthError, PrincipalKind, Reason, ResourceUri, UserContext};

/// The binding of an `Mcp-Session-Id` to (issuer, subject, client), which stays the same when the token is refreshed.
///
/// The layer appends a message authentication code (MAC) to the session id in a response, and the client sends both. The layer verifies
/// the MAC and removes it, so the inner service sees its own id. A session id without the MAC of its sender gets 404, as if the session had
/// ended: the client starts a new one. The layer keeps no sessions; whether a session still exists is known to the inner service alone.
///
/// The MAC is HMAC-SHA-256 ([RFC 2104](https://www.rfc-editor.org/rfc/rfc2104)), truncated to 128 bits, of the resource, the
/// principal, the client and the id.
#[derive(Clone)]
pub struct SessionBinding {
    /// At least one: the first signs, all verify.
    keys: Vec<hmac::Key>,
}

impl SessionBinding {
    /// Creates a binding with a random key: session ids are valid in this process only.
    #[must_use]
    pub fn new() -> Self {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).expect("the operating system has random bytes");
        Self { keys: vec![hmac::Key::new(hmac::HMAC_SHA256, &key)] }
    }

    /// Creates a binding with `keys`: the first signs, all verify. Session ids are valid in each process that has the keys, and after a
    /// restart. `None` if there is no key.
    #[must_use]
    pub fn with_keys<'a>(keys: impl IntoIterator<Item = &'a [u8; 32]>) -> Option<Self> {
        let keys: Vec<_> = keys.into_iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect();
        (!keys.is_empty()).then_some(Self { keys })
    }

    pub(crate) fn sessions(&self, resource: &ResourceUri) -> Sessions {
        Sessions { keys: self.keys.clone(), resource: resource.as_str().into() }
    }
}

impl Default for SessionBinding {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SessionBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBinding").field("keys", &self.keys.len()).finish()
    }
}

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// The first protocol version without sessions, and with headers that mirror the body. Versions are dates, so they compare
/// as text.
const MODERN: &[u8] = b"2026-07-28";

/// The MAC of a session id, and its length in base64.
type Mac = [u8; 16];

const MAC_TEXT: usize = 22;

/// Between a session id and its MAC.
const SEPARATOR: u8 = b'.';

/// Binds the session ids of one resource to their principals.
pub(crate) struct Sessions {
    keys: Vec<hmac::Key>,
    resource: Box<str>,
}

/// The reason why a request is rejected after verification.
#[derive(Debug)]
pub(crate) enum Refusal {
    Auth(AuthError),
    /// The session id was not issued to the user.
    SessionNotFound,
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}

impl Sessions {
    /// Replaces the session id in `headers` by that of the inner service, if it was issued to `user`. In a protocol version without
    /// sessions the header has no meaning and is removed.
    pub(crate) fn unbind(&self, headers: &mut HeaderMap, user: &UserContext) -> Result<(), Refusal> {
        let mut ids = headers.get_all(SESSION_ID).iter();
        let Some(bound) = ids.next() else { return Ok(()) };
        if ids.next().is_some() {
            // It is unknown which of the two the inner service would use.
            return Err(AuthError::new(Reason::RepeatedHeader).into());
        }
        if is_modern(headers) {
            headers.remove(SESSION_ID);
            return Ok(());
        }
        let id = self.verified(bound.as_bytes(), user).ok_or(Refusal::SessionNotFound)?;
        headers.insert(SESSION_ID, id);
        Ok(())
    }

    /// Binds the session id in the `headers` of a response to `user`.
    pub(crate) fn bind(&self, headers: &mut HeaderMap, user: &UserContext) {
        let Some(id) = headers.get(SESSION_ID).map(HeaderValue::as_bytes) else { return };
        let mut bound = Vec::with_capacity(id.len() + 1 + MAC_TEXT);
        bound.extend_from_slice(id);
        bound.push(SEPARATOR);
        let mac = URL_SAFE_NO_PAD.encode(self.mac(&self.keys[0], id, user));
        bound.extend_from_slice(mac.as_bytes());
        headers.insert(SESSION_ID, HeaderValue::from_bytes(&bound).expect("a header value and visible characters"));
    }

    /// Returns the session id that `bound` is made of, if it was issued to `user`.
    fn verified(&self, bound: &[u8], user: &UserContext) -> Option<HeaderValue> {
        let (id, suffix) = bound.split_at_checked(bound.len().checked_sub(1 + MAC_TEXT)?)?;
        let (separator, text) = suffix.split_first()?;
        let mut mac = Mac::default();
        URL_SAFE_NO_PAD.decode_slice(text, &mut mac).ok().filter(|len| *len == mac.len())?;
        let is_by = |key| verify_slices_are_equal(&self.mac(key, id, user), &mac).is_ok();
        let is_issued = *separator == SEPARATOR && self.keys.iter().any(is_by);
        is_issued.then(|| HeaderValue::from_bytes(id).ok())?
    }

    fn mac(&self, key: &hmac::Key, id: &[u8], user: &UserContext) -> Mac {
        let mut context = hmac::Context::with_key(key);
        let (principal, client) = (user.principal(), user.client_id());
        let (issuer, subject) = (principal.issuer().as_str(), principal.subject());
        for part in [&*self.resource, issuer, subject, client.unwrap_or_default()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let is_user = principal.kind() == PrincipalKind::User;
        context.update(&[u8::from(is_user), u8::from(client.is_some())]);
        context.update(id);
        let mut mac = Mac::default();
        mac.copy_from_slice(&context.sign().as_ref()[..size_of::<Mac>()]);
        mac
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

/// Reports whether a request is of protocol version 2026-07-28 or later. Of several versions in one request, the latest counts.
pub(crate) fn is_modern(headers: &HeaderMap) -> bool {
    headers.get_all(PROTOCOL_VERSION).iter().any(|version| version.as_bytes() >= MODERN)
}
