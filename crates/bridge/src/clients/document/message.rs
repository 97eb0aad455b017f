//! The request for a client metadata document, and the processing of the response.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use portcullis_core::UnixTime;
use portcullis_egress::{MaxBody, RequestKind};
use portcullis_remote::max_age;
use serde::de::IgnoredAny;

use super::{ClientUrl, FetchError, FetchedDocument};
use crate::clients::{
    Client, ClientAuthenticationMethod, ClientSource, GrantType, RedirectUri,
    metadata::{ClientMetadata, InvalidMetadata},
};

/// The maximum size of a document. draft-ietf-oauth-client-id-metadata-document, section 6.6.
const MAX_LEN: usize = 5 * 1024;

pub(super) const TOO_LARGE: &str = "client metadata document is too large";

/// The bounds of a document's lifetime, and the lifetime without `Cache-Control`.
const MIN_LIFETIME: Duration = Duration::from_mins(1);
const DEFAULT_LIFETIME: Duration = Duration::from_mins(10);
const MAX_LIFETIME: Duration = Duration::from_hours(24);

/// Creates the request for the document at `url`.
pub(super) fn request(url: &ClientUrl) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = url.uri().clone();
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    request.extensions_mut().insert(RequestKind::new("client_document"));
    request.extensions_mut().insert(MaxBody::new(MAX_LEN));
    request
}

/// Processes the `response` to the request that was sent at `requested_at`.
///
/// # Errors
/// [`FetchError::Rejected`] if the host answers that there is no document, or returns an invalid one;
/// [`FetchError::NotADocument`] for other responses, such as bot checks and maintenance pages;
/// [`FetchError::Unavailable`] for a response that reports a failure.
pub(super) fn process(
    url: &ClientUrl,
    response: &Response<Bytes>,
    requested_at: UnixTime,
) -> Result<FetchedDocument, FetchError> {
    match response.status() {
        StatusCode::OK => {}
        status if status.is_redirection() => {
            return Err(FetchError::NotADocument("client metadata document is a redirect"));
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            return Err(FetchError::Rejected("client metadata document does not exist".into()));
        }
        _ => return Err(FetchError::Unavailable),
    }
    if response.body().len() > MAX_LEN {
        return Err(FetchError::NotADocument(TOO_LARGE));
    }
    if !is_json(response.headers()) {
        return Err(FetchError::NotADocument("client metadata document has a Content-Type other than JSON"));
    }
    if serde_json::from_slice::<IgnoredAny>(response.body()).is_err() {
        return Err(FetchError::NotADocument("client metadata document is not JSON"));
    }
    let members = ClientMetadata::parse(response.body());
    let members = members.map_err(|_| {
        FetchError::Rejected("client metadata document is not a JSON object with unique members".into())
    })?;
    let invalid = |invalid: InvalidMetadata| {
        FetchError::Rejected(format!("client metadata document is invalid: {invalid}").into())
    };
    let client = client(url, &members).map_err(invalid)?;
    let lifetime = max_age(response.headers()).unwrap_or(DEFAULT_LIFETIME).clamp(MIN_LIFETIME, MAX_LIFETIME);
    Ok(FetchedDocument::new(client, requested_at, requested_at + lifetime))
}

fn client(url: &ClientUrl, members: &ClientMetadata) -> Result<Client, InvalidMetadata> {
    if members.text("client_id")? != Some(url.as_str()) {
        return Err(InvalidMetadata::new("client_id", "differs from the URL of the document"));
    }
    let name = members.name()?.ok_or(InvalidMetadata::new("client_name", "is missing"))?;
    Ok(Client {
        id: url.as_str().into(),
        name: Some(name.into()),
        uri: members.home_page()?.map(Into::into),
        redirect_uris: redirect_uris(members)?,
        grant_types: grant_types(members)?,
        authentication: authentication(members)?,
        source: ClientSource::Document,
        scopes: None,
        kept_until: None,
        is_used: false,
    })
}

/// A document addresses every authorization server, so unsupported redirect URIs are skipped.
fn redirect_uris(members: &ClientMetadata) -> Result<Vec<RedirectUri>, InvalidMetadata> {
    let written = members.texts("redirect_uris")?.ok_or(InvalidMetadata::new("redirect_uris", "is missing"))?;
    let usable: Vec<_> = written.into_iter().filter_map(|text| RedirectUri::new(text).ok()).collect();
    if usable.is_empty() { Err(InvalidMetadata::new("redirect_uris", "has no supported value")) } else { Ok(usable) }
}

fn grant_types(members: &ClientMetadata) -> Result<Vec<GrantType>, InvalidMetadata> {
    let Some(written) = members.texts("grant_types")? else { return Ok(vec![GrantType::AuthorizationCode]) };
    let known: Vec<_> = written.into_iter().filter_map(GrantType::parse).collect();
    if known.is_empty() { Err(InvalidMetadata::new("grant_types", "has no supported value")) } else { Ok(known) }
}

/// The document is public, so a client secret is invalid.
fn authentication(members: &ClientMetadata) -> Result<ClientAuthenticationMethod, InvalidMetadata> {
    for member in ["client_secret", "client_secret_expires_at"] {
        if members.has(member) {
            return Err(InvalidMetadata::new(member, "is not allowed in a document"));
        }
    }
    match members.text("token_endpoint_auth_method")? {
        None | Some("none") => Ok(ClientAuthenticationMethod::None),
        Some("private_key_jwt") => Ok(ClientAuthenticationMethod::PrivateKeyJwt(members.keys()?)),
        Some(_) => Err(InvalidMetadata::new("token_endpoint_auth_method", "must be none or private_key_jwt")),
    }
}

/// Reports whether the content type is `application/json` or `application/*+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
