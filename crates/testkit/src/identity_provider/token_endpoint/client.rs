//! Who calls: the client, by its secret.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};
use url::form_urlencoded;

use super::{super::state::State, Parameters, Refusal};

/// Id and secret of a client.
type Credentials = (String, String);

/// The client, by `client_secret_basic` or `client_secret_post`, and by one of them only.
pub(in super::super) fn authenticated(
    state: &State,
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<String, Refusal> {
    let parameter = |name: &str| parameters.get(name).cloned();
    let posted = parameter("client_id").zip(parameter("client_secret"));
    if headers.contains_key(AUTHORIZATION) && posted.is_some() {
        return Err(Refusal::InvalidRequest("client authentication must only be provided using one mechanism"));
    }
    if !headers.contains_key(AUTHORIZATION) && !parameters.contains_key("client_id") {
        return Err(Refusal::InvalidRequest("no client authentication mechanism provided"));
    }
    let credentials = basic(headers).or(posted);
    let known = credentials.as_ref().is_some_and(|(id, _)| state.clients.contains_key(id));
    client(state, credentials).ok_or(if known { Refusal::WrongSecret } else { Refusal::UnknownClient })
}

/// Id and secret of the scheme `Basic`, [RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1).
pub(in super::super) fn basic(headers: &HeaderMap) -> Option<Credentials> {
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let pair = scheme.eq_ignore_ascii_case("Basic").then(|| BASE64_STANDARD.decode(credentials).ok())??;
    let pair = String::from_utf8(pair).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decode = |text: &str| form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned());
    Some((decode(id)?, decode(secret)?))
}

/// The client, if it is one.
pub(in super::super) fn client(state: &State, credentials: Option<Credentials>) -> Option<String> {
    let (id, secret) = credentials?;
    (state.clients.get(&id) == Some(&secret)).then_some(id)
}
