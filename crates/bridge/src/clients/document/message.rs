//! The document of a client: how it is asked for, and what it must say.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use portcullis_core::UnixTime;
use portcullis_egress::{MaxBody, RequestKind};
use portcullis_remote::max_age;
use serde::de::IgnoredAny;

use super::{ClientUrl, Fetched, Unfetched};
use crate::clients::{
    Client, ClientAuthenticationMethod, GrantType, Origin, RedirectUri,
    metadata::{InvalidMetadata, Members},
};

/// Documents are no larger. draft-ietf-oauth-client-id-metadata-document, section 6.6.
const MAX_LEN: usize = 5 * 1024;

pub(super) const TOO_LARGE: &str = "the client's document is too large";

const SHORTEST: Duration = Duration::from_mins(1);
const USUAL: Duration = Duration::from_mins(10);
const LONGEST: Duration = Duration::from_hours(24);

/// A request for the document at `url`.
pub(super) fn request(url: &ClientUrl) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = url.uri().clone();
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    request.extensions_mut().insert(RequestKind::new("client_document"));
    request.extensions_mut().insert(MaxBody::new(MAX_LEN));
    request
}

/// The client that `response` to the request of the instant `asked_at` describes.
///
/// # Errors
/// [`Unfetched::Refused`] if the client's host has said that there is none, or none that can be accepted;
/// [`Unfetched::NoDocument`] if it has said something else, as bot checks and pages about maintenance do;
/// [`Unfetched::Failed`] if it has said that it fails.
pub(super) fn process(url: &ClientUrl, response: &Response<Bytes>, asked_at: UnixTime) -> Result<Fetched, Unfetched> {
    match response.status() {
        StatusCode::OK => {}
        status if status.is_redirection() => {
            return Err(Unfetched::NoDocument("the client's document is moved elsewhere"));
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            return Err(Unfetched::Refused("the client has no document".into()));
        }
        _ => return Err(Unfetched::Failed),
    }
    if response.body().len() > MAX_LEN {
        return Err(Unfetched::NoDocument(TOO_LARGE));
    }
    if !is_json(response.headers()) {
        return Err(Unfetched::NoDocument("the client's document is not served as JSON"));
    }
    if serde_json::from_slice::<IgnoredAny>(response.body()).is_err() {
        return Err(Unfetched::NoDocument("the client's document is no JSON"));
    }
    let members = Members::parse(response.body());
    let members = members.map_err(|_| Unfetched::Refused("the client's document is no plain JSON object".into()))?;
    let invalid = |invalid: InvalidMetadata| Unfetched::Refused(format!("in the client's document, {invalid}").into());
    let client = client(url, &members).map_err(invalid)?;
    let lifetime = max_age(response.headers()).unwrap_or(USUAL).clamp(SHORTEST, LONGEST);
    Ok(Fetched::new(client, asked_at, asked_at + lifetime))
}

fn client(url: &ClientUrl, members: &Members) -> Result<Client, InvalidMetadata> {
    if members.text("client_id")? != Some(url.as_str()) {
        return Err(InvalidMetadata::new("client_id", "it is not the URL of the document"));
    }
    let name = members.name()?.ok_or(InvalidMetadata::new("client_name", "it is missing"))?;
    Ok(Client {
        id: url.as_str().into(),
        name: Some(name.into()),
        uri: members.home_page()?.map(Into::into),
        redirect_uris: redirect_uris(members)?,
        grant_types: grant_types(members)?,
        authentication: authentication(members)?,
        origin: Origin::Document,
        scopes: None,
        kept_until: None,
        is_used: false,
    })
}

/// A document is for every authorization server: what we do not send codes to is passed over.
fn redirect_uris(members: &Members) -> Result<Vec<RedirectUri>, InvalidMetadata> {
    let written = members.texts("redirect_uris")?.ok_or(InvalidMetadata::new("redirect_uris", "it is missing"))?;
    let usable: Vec<_> = written.into_iter().filter_map(|text| RedirectUri::new(text).ok()).collect();
    if usable.is_empty() {
        Err(InvalidMetadata::new("redirect_uris", "there is none that can be used"))
    } else {
        Ok(usable)
    }
}

fn grant_types(members: &Members) -> Result<Vec<GrantType>, InvalidMetadata> {
    let Some(written) = members.texts("grant_types")? else { return Ok(vec![GrantType::AuthorizationCode]) };
    let known: Vec<_> = written.into_iter().filter_map(GrantType::parse).collect();
    if known.is_empty() {
        Err(InvalidMetadata::new("grant_types", "there is none that can be used"))
    } else {
        Ok(known)
    }
}

/// Everybody can read the document: there is no secret.
fn authentication(members: &Members) -> Result<ClientAuthenticationMethod, InvalidMetadata> {
    for member in ["client_secret", "client_secret_expires_at"] {
        if members.has(member) {
            return Err(InvalidMetadata::new(member, "it is nothing for a document"));
        }
    }
    match members.text("token_endpoint_auth_method")? {
        None | Some("none") => Ok(ClientAuthenticationMethod::None),
        Some("private_key_jwt") => Ok(ClientAuthenticationMethod::PrivateKeyJwt(members.keys()?)),
        Some(_) => Err(InvalidMetadata::new("token_endpoint_auth_method", "it is neither none nor private_key_jwt")),
    }
}

/// `application/json`, or a form of it.
fn is_json(headers: &HeaderMap) -> bool {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
