//! [`Parameters`] of requests, and the extractors [`OAuthForm`] and [`OAuthQuery`].

use std::{borrow::Cow, fmt, time::Duration};

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::{HeaderMap, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use portcullis_core::{ResourceUri, ScopeSet};
use tokio::time::timeout;
use url::form_urlencoded;

use crate::response::{ErrorCode, OAuthError};

/// The parameters of a query or a form. `Debug` prints their names only.
///
/// A parameter without a value counts as missing, an unknown one is ignored, and a repeated one is an error
/// ([RFC 6749 section 3.1](https://www.rfc-editor.org/rfc/rfc6749#section-3.1)). Only `resource` may be repeated
/// ([RFC 8707 section 2](https://www.rfc-editor.org/rfc/rfc8707#section-2)).
pub(crate) struct Parameters(Vec<(String, String)>);

/// The parameter that may be repeated.
const RESOURCE: &str = "resource";

/// The maximum number of parameters. Lookups are linear.
const MAX_PARAMETERS: usize = 64;

impl Parameters {
    /// Parses `text`, which is `application/x-www-form-urlencoded`.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, OAuthError> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if value.is_empty() {
                continue;
            }
            if name != RESOURCE && parameters.iter().any(|(known, _)| *known == *name) {
                return Err(OAuthError::invalid_request("repeated parameter"));
            }
            if parameters.len() == MAX_PARAMETERS {
                return Err(OAuthError::invalid_request("too many parameters"));
            }
            parameters.push((name.into_owned(), Cow::into_owned(value)));
        }
        Ok(Self(parameters))
    }

    /// Returns the value of `name`.
    pub(crate) fn optional(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the value of `name`, or `invalid_request` if it is missing.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, OAuthError> {
        self.optional(name).ok_or_else(|| OAuthError::invalid_request(format!("missing parameter: {name}")))
    }

    /// Returns the parameter `scope`. [RFC 6749 section 3.3](https://www.rfc-editor.org/rfc/rfc6749#section-3.3)
    ///
    /// # Errors
    /// `invalid_scope` if it is malformed or too long.
    pub(crate) fn scopes(&self) -> Result<Option<ScopeSet>, OAuthError> {
        let invalid = |text| {
            let error = OAuthError::new(ErrorCode::InvalidScope, "malformed scope");
            error.with_found(text, "names of printable ASCII without quotation marks, separated by spaces")
        };
        self.optional("scope").map(|text| parse_untrusted_scopes(text).ok_or_else(|| invalid(text))).transpose()
    }

    /// Returns all parameters `resource`.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(name, _)| name == RESOURCE).map(|(_, value)| value.as_str())
    }
}

/// Returns the scopes of `asked` that are among `allowed`; `None` if there are none, so that the request counts as one without scopes.
pub(crate) fn known_scopes(asked: Option<&ScopeSet>, allowed: &ScopeSet) -> Option<ScopeSet> {
    asked.map(|asked| asked.intersection(allowed)).filter(|known| !known.is_empty())
}

/// Reports whether `presented` names `resource`, with or without a slash at its end.
pub(crate) fn names_resource(presented: &str, resource: &ResourceUri) -> bool {
    resource.is_named_by(presented)
        || presented.strip_suffix('/').is_some_and(|presented| resource.is_named_by(presented))
        || resource.as_str().strip_suffix('/') == Some(presented)
}

/// Parses scopes of a request; `None` if `text` is malformed or too long.
pub(crate) fn parse_untrusted_scopes(text: &str) -> Option<ScopeSet> {
    /// Parsing takes quadratic time.
    const MAX_SCOPE: usize = 2048;
    Some(text).filter(|text| text.len() <= MAX_SCOPE).and_then(|text| ScopeSet::parse(text).ok())
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// The content type of forms.
const FORM: &str = "application/x-www-form-urlencoded";

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
        let types: Vec<_> = content_types(request.headers()).map(str::to_ascii_lowercase).collect();
        if !types.iter().any(|of| of == FORM) {
            let error = OAuthError::invalid_request("Content-Type must be application/x-www-form-urlencoded");
            return Err(error.with_found(&types.join(", "), FORM));
        }
        let body = read_body(request, MAX_FORM).await?;
        // Of several types the body shows which one is right: a form does not begin like JSON.
        if types.len() > 1 && body.trim_ascii_start().starts_with(b"{") {
            return Err(OAuthError::invalid_request("Content-Type names several types, and the body is not a form"));
        }
        Parameters::parse(&body).map(Self)
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
    let mut types = content_types(headers);
    types.next().is_some_and(|first| first.eq_ignore_ascii_case(expected)) && types.next().is_none()
}

/// Returns the content types without their parameters. Some clients send two, in one header or in two.
fn content_types(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::CONTENT_TYPE).iter().map(|value| value.to_str().unwrap_or_default());
    values.flat_map(|value| value.split(',')).map(|value| value.split(';').next().unwrap_or_default().trim())
}
