//! Extractors: [`OAuthForm`], [`OAuthQuery`], [`Caller`], and the body of a request.

use std::{convert::Infallible, time::Duration};

use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::{HeaderMap, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;

use crate::{
    limits::{Caller, RateLimits},
    oauth_error::OAuthError,
    parameters::Parameters,
};

/// The maximum size of a form. An assertion has at most 16 KiB.
const MAX_FORM: usize = 64 * 1024;

/// The maximum length of a query: a `state` of 2 KiB, a redirect URI of 2 KiB, and many resources; or a long code of a provider.
pub(crate) const MAX_QUERY: usize = 16 * 1024;

/// The maximum time for reading a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The parameters of a form post.
///
/// Rejects a body of another type or of more than 64 KiB, and repeated parameters, with `invalid_request`.
#[derive(Debug)]
pub(crate) struct OAuthForm(pub(crate) Parameters);

/// The parameters of the query.
///
/// Rejects a query of more than 16 KiB, and repeated parameters, with `invalid_request`.
#[derive(Debug)]
pub(crate) struct OAuthQuery(pub(crate) Parameters);

impl<S: Send + Sync> FromRequest<S> for OAuthForm {
    type Rejection = OAuthError;

    async fn from_request(request: Request, _: &S) -> Result<Self, OAuthError> {
        if !has_content_type(request.headers(), "application/x-www-form-urlencoded") {
            return Err(OAuthError::invalid_request("Content-Type must be application/x-www-form-urlencoded"));
        }
        Parameters::parse(&read_body(request, MAX_FORM).await?).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OAuthQuery {
    type Rejection = OAuthError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, OAuthError> {
        let query = parts.uri.query().unwrap_or_default();
        if query.len() > MAX_QUERY {
            return Err(OAuthError::invalid_request("query too long"));
        }
        Parameters::parse(query.as_bytes()).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    RateLimits: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(RateLimits::from_ref(state).caller(&parts.headers, &parts.extensions))
    }
}

/// Reads the body of `request`.
///
/// # Errors
/// `invalid_request` if it has more than `max_len` bytes, takes too long, or breaks off.
pub(crate) async fn read_body(request: Request, max_len: usize) -> Result<Bytes, OAuthError> {
    let collected = timeout(BODY_TIMEOUT, Limited::new(request.into_body(), max_len).collect()).await;
    match collected.map_err(|_| OAuthError::invalid_request("timeout while reading the body"))? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(OAuthError::too_large()),
        Err(_) => Err(OAuthError::invalid_request("incomplete body")),
    }
}

/// Reports whether the content type is `expected`, with any parameters. RFC 9110 section 8.3.1.
pub(crate) fn has_content_type(headers: &HeaderMap, expected: &str) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(expected)
}
