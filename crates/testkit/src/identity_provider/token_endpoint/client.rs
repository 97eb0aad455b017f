//! Who calls: the client, by its secret.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};
use url::form_urlencoded;

use super::super::state::State;

/// Id and secret of the scheme `Basic`, [RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1).
pub(in super::super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let pair = scheme.eq_ignore_ascii_case("Basic").then(|| BASE64_STANDARD.decode(credentials).ok())??;
    let pair = String::from_utf8(pair).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decode = |text: &str| form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned());
    Some((decode(id)?, decode(secret)?))
}

/// The client, if it is one.
pub(in super::super) fn client(state: &State, credentials: Option<(String, String)>) -> Option<String> {
    let (id, secret) = credentials?;
    (state.clients.get(&id) == Some(&secret)).then_some(id)
}
