//! Bodies of requests, as far as they are read.

use std::time::Duration;

use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderMap, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;

use crate::{oauth_error::OAuthError, parameters::Parameters};

/// More than any form has: an assertion has 16 KiB at most.
const MAX_FORM: usize = 64 * 1024;

/// A client that takes longer for its body is not waited for.
const BODY_TIME: Duration = Duration::from_secs(30);

/// The form that is posted, and what stands in the headers.
///
/// # Errors
/// `invalid_request` if it is no form, or too much.
pub(crate) async fn form(request: Request) -> Result<(Parts, Parameters), OAuthError> {
    if !is_of_type(request.headers(), "application/x-www-form-urlencoded") {
        return Err(OAuthError::invalid_request("the body must be application/x-www-form-urlencoded"));
    }
    let (parts, body) = read(request, MAX_FORM).await?;
    Ok((parts, Parameters::parse(&body)?))
}

/// The headers and the body of `request`, which has `max_len` bytes at most.
///
/// # Errors
/// `invalid_request` if it has more, or does not come.
pub(crate) async fn read(request: Request, max_len: usize) -> Result<(Parts, Bytes), OAuthError> {
    let (parts, body) = request.into_parts();
    let collected = timeout(BODY_TIME, Limited::new(body, max_len).collect()).await;
    let collected = collected.map_err(|_| OAuthError::invalid_request("the body takes too long"))?;
    match collected {
        Ok(body) => Ok((parts, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(OAuthError::too_large()),
        Err(_) => Err(OAuthError::invalid_request("the body cannot be read")),
    }
}

/// Whether the body says to be of the type `expected`, whatever its parameters. RFC 9110 section 8.3.1.
pub(crate) fn is_of_type(headers: &HeaderMap, expected: &str) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(expected)
}
