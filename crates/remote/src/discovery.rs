//! Requests without a credential: [`discover`] asks an issuer for its metadata, [`max_age`] says for how long a response may be cached.

use std::{mem, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use portcullis_core::{AuthError, Issuer};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{
    ProtocolError,
    metadata::{self, AuthorizationServerMetadata},
};
use tower::ServiceExt;

/// Fetches the metadata of `issuer` from its well-known locations. If the first document lacks an endpoint, the further ones complete it
/// ([`AuthorizationServerMetadata::completed_by`]). Each must name exactly this issuer.
///
/// A location that answers anything else (404, an HTML page, metadata of another issuer, once a 5xx) is skipped. If the issuer does not
/// answer, fails a second time, or limits the rate of requests, the remaining locations are not tried. Nothing is cached.
///
/// # Errors
/// Always transient. If no location has the metadata: the last error that is not "not found".
pub async fn discover(egress: &Egress, issuer: &Issuer) -> Result<AuthorizationServerMetadata, AuthError> {
    let (metadata, _) = discover_until(egress, issuer, AuthorizationServerMetadata::is_complete).await?;
    Ok(metadata)
}

/// Fetches the metadata as [`discover`] does, until the endpoints are known that a client needs: for authorization and for tokens. Returns
/// for how long it may be cached as well, if every response states it.
///
/// # Errors
/// As [`discover`].
pub async fn discover_for_client(
    egress: &Egress,
    issuer: &Issuer,
) -> Result<(AuthorizationServerMetadata, Option<Duration>), AuthError> {
    let is_enough = |metadata: &AuthorizationServerMetadata| {
        metadata.authorization_endpoint().is_some() && metadata.token_endpoint().is_some()
    };
    discover_until(egress, issuer, is_enough).await
}

/// Fetches the metadata as [`discover`] does, only until `is_enough`.
pub(crate) async fn discover_until(
    egress: &Egress,
    issuer: &Issuer,
    is_enough: impl Fn(&AuthorizationServerMetadata) -> bool,
) -> Result<(AuthorizationServerMetadata, Option<Duration>), AuthError> {
    let mut found: Option<(AuthorizationServerMetadata, Option<Duration>)> = None;
    let (mut has_failed, mut is_wrong) = (false, false);
    let mut problem = AuthError::from(ProtocolError::UnexpectedStatus(StatusCode::NOT_FOUND));
    for url in metadata::well_known_urls(issuer) {
        let response = match send(egress, metadata::request(&url), RequestKind::new("discovery")).await {
            Ok(response) => response,
            Err(error) => {
                problem = error;
                break;
            }
        };
        match metadata::process(issuer, &response) {
            Ok(document) => {
                let lifetime = max_age(response.headers());
                let (all, lifetime) = match found {
                    Some((found, known)) => (found.completed_by(document), known.min(lifetime)),
                    None => (document, lifetime),
                };
                if is_enough(&all) {
                    return Ok((all, lifetime));
                }
                found = Some((all, lifetime));
            }
            Err(ProtocolError::UnexpectedStatus(StatusCode::NOT_FOUND)) => {}
            Err(error) => {
                tracing::debug!(%issuer, location = %url.path(), %error, "location without metadata");
                let is_last = match &error {
                    ProtocolError::RateLimited { .. } => true,
                    ProtocolError::ServerError { .. } => mem::replace(&mut has_failed, true),
                    _ => false,
                };
                // That a document is of another issuer, or invalid, says more than that there is none elsewhere.
                let is_absent = matches!(error, ProtocolError::UnexpectedStatus(_) | ProtocolError::NotJson { .. });
                if !(is_wrong && is_absent) {
                    problem = error.into();
                }
                is_wrong |= !is_absent;
                if is_last {
                    break;
                }
            }
        }
    }
    found.ok_or(problem)
}

/// Sends `request` as one of `kind`.
pub(crate) async fn send(
    egress: &Egress,
    mut request: Request<Bytes>,
    kind: RequestKind,
) -> Result<Response<Bytes>, AuthError> {
    request.extensions_mut().insert(kind);
    Ok(egress.clone().oneshot(request).await?)
}

/// Returns for how long a response may be cached: the `max-age` of `Cache-Control`; zero for `no-store` and `no-cache`; `None` if the
/// header does not say. [RFC 9111 section 5.2.2.1](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.1)
///
/// The sender of the response chooses the value: the caller should clamp it. `Expires` and `Age` are ignored.
#[must_use]
pub fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = values.flat_map(|value| value.split(',')).map(str::trim);
    directives.find_map(|directive| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.to_ascii_lowercase().as_str() {
            "max-age" => value.trim_matches('"').parse().ok().map(Duration::from_secs),
            "no-store" | "no-cache" => Some(Duration::ZERO),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn max_age_is_read_beside_other_directives() {
        for (value, seconds) in [
            ("max-age=90", Some(90)),
            ("public, Max-Age=\"90\", must-revalidate", Some(90)),
            ("no-store", Some(0)),
            ("public", None),
            ("max-age=soon", None),
        ] {
            let headers = HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(value))]);
            assert_eq!(max_age(&headers), seconds.map(Duration::from_secs), "{value}");
        }
        assert_eq!(max_age(&HeaderMap::new()), None);
    }
}
