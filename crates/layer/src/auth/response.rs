//! The responses that the auth layer creates itself.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use portcullis_core::AuthError;
use serde_json::json;

use super::challenges::Challenges;
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

/// Returns the response for the session of another user, which is the same as for an unknown session: the client starts a new
/// one (TR-6).
pub(super) fn session_not_found() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"Session not found"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
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
