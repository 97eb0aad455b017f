//! The responses that the auth layer creates itself, and the challenges of one resource.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use portcullis_core::{AuthError, AuthErrorKind, Challenge, ScopeSet};
use serde_json::json;

/// The default of `Retry-After`.
const RETRY_LATER: Duration = Duration::from_secs(5);

/// Returns the response to `error` by the wire table. The error is inserted into its extensions, for outer layers.
pub(super) fn rejection(error: AuthError, challenges: &Challenges) -> Response<Bytes> {
    let kind = error.kind();
    let body = kind.error_code().map_or_else(Bytes::new, |code| {
        json!({ "error": code, "error_description": kind.error_description() }).to_string().into()
    });
    let has_body = !body.is_empty();
    let mut response = Response::new(body);
    *response.status_mut() = kind.status();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    match challenges.challenge(&error) {
        Some(challenge) => {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        None => {
            let delay = error.retry_after().unwrap_or(RETRY_LATER);
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
        }
    }
    response.extensions_mut().insert(error);
    response
}

/// Rounds up to whole seconds, and to at least one, so that clients do not retry too early.
fn whole_seconds(delay: Duration) -> u64 {
    delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0)).max(1)
}

/// Returns the response for a session id that was not issued to the user, which is the same as for an unknown session: the client starts
/// a new one (TR-6).
pub(super) fn session_not_found() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"Session not found"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// The challenges of one resource. All but those for missing scopes are the same for every request, and are built once.
#[derive(Debug)]
pub(super) struct Challenges {
    resource_metadata: String,
    scope: String,
    missing_token: HeaderValue,
    invalid_request: HeaderValue,
    invalid_token: HeaderValue,
}

impl Challenges {
    /// Creates the challenges. `scope` is the set of scopes that a client should request; the parameter is omitted if it is empty.
    pub(super) fn new(resource_metadata: String, scope: &ScopeSet) -> Self {
        let write = |error| write(&resource_metadata, error, &without_offline_access(scope)).to_header_value();
        Self {
            missing_token: write(None),
            invalid_request: write(AuthErrorKind::InvalidRequest.error_code()),
            invalid_token: write(AuthErrorKind::InvalidToken.error_code()),
            scope: without_offline_access(scope),
            resource_metadata,
        }
    }

    /// Returns the challenge for `error`, or `None` if a challenge cannot help the client.
    pub(super) fn challenge(&self, error: &AuthError) -> Option<HeaderValue> {
        match error.kind() {
            AuthErrorKind::MissingToken => Some(self.missing_token.clone()),
            AuthErrorKind::InvalidRequest => Some(self.invalid_request.clone()),
            AuthErrorKind::InvalidToken => Some(self.invalid_token.clone()),
            AuthErrorKind::InsufficientScope => {
                let needed = without_offline_access(error.scopes());
                let scope = if needed.is_empty() { &self.scope } else { &needed };
                let code = AuthErrorKind::InsufficientScope.error_code();
                Some(write(&self.resource_metadata, code, scope).to_header_value())
            }
            _ => None,
        }
    }
}

fn write(resource_metadata: &str, error: Option<&str>, scope: &str) -> Challenge {
    let mut challenge = Challenge::bearer();
    if let Some(error) = error {
        challenge = challenge.with("error", error);
    }
    if !scope.is_empty() {
        challenge = challenge.with("scope", scope);
    }
    challenge.with("resource_metadata", resource_metadata)
}

/// Returns the names without `offline_access`: a resource does not request refresh tokens (RS-16).
fn without_offline_access(scope: &ScopeSet) -> String {
    let names: Vec<_> = scope.iter().filter(|name| *name != "offline_access").collect();
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_rounded_up() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (29_999, 30)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }
}
