//! The checks of every response of a provider before its content is processed.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use serde_json::{Map, Value};

use crate::{ProtocolError, strict_json};

/// Returns the members of the JSON object in a response, which must be 200.
pub(crate) fn json_object(response: &Response<Bytes>) -> Result<Map<String, Value>, ProtocolError> {
    match json(response)? {
        Value::Object(members) => Ok(members),
        _ => Err(not_json(response)),
    }
}

/// Returns the members of a token response, with some tolerance: the status may be 201, and the content type one of plain text or of
/// JavaScript. The response of the configured token endpoint is a token response whatever it is labelled, but for a page.
pub(crate) fn token_members(response: &Response<Bytes>) -> Result<Map<String, Value>, ProtocolError> {
    const OTHER_TYPES: [&str; 5] =
        ["text/plain", "text/javascript", "text/json", "application/javascript", "application/x-javascript"];
    let status = response.status();
    if status != StatusCode::OK && status != StatusCode::CREATED {
        return Err(failure(response).unwrap_or(ProtocolError::UnexpectedStatus(status)));
    }
    let is_expected = |content_type: &str| is_json(content_type) || OTHER_TYPES.contains(&&*essence(content_type));
    if !content_type(response.headers()).is_none_or(is_expected) {
        return Err(not_json(response));
    }
    error_members(response).ok_or_else(|| not_json(response))
}

/// Returns the members of the JSON object in the body, whatever status and content type; a byte order mark is ignored.
pub(crate) fn error_members(response: &Response<Bytes>) -> Option<Map<String, Value>> {
    let body = response.body();
    strict_json::parse_object(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)).ok()
}

/// Returns the JSON value in a response, which must be 200.
pub(crate) fn json(response: &Response<Bytes>) -> Result<Value, ProtocolError> {
    if response.status() != StatusCode::OK {
        return Err(failure(response).unwrap_or_else(|| ProtocolError::UnexpectedStatus(response.status())));
    }
    if !content_type(response.headers()).is_some_and(is_json) {
        return Err(not_json(response));
    }
    strict_json::parse(response.body()).map_err(|_| not_json(response))
}

/// Returns the error of a body that is not JSON. A content coding that could not be decoded is the reason, and is named.
pub(crate) fn not_json(response: &Response<Bytes>) -> ProtocolError {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let found = text(header::CONTENT_TYPE);
    let coding = text(header::CONTENT_ENCODING).filter(|coding| !coding.eq_ignore_ascii_case("identity"));
    let content_type = match coding {
        Some(coding) => Some(format!("{}; content coding {coding}, which is not decoded", found.unwrap_or_default())),
        None => found,
    };
    ProtocolError::NotJson { content_type }
}

/// Returns the error of a status that concerns the provider itself, independently of the request.
pub(crate) fn failure(response: &Response<Bytes>) -> Option<ProtocolError> {
    let (status, retry_after) = (response.status(), retry_after(response.headers()));
    if status == StatusCode::TOO_MANY_REQUESTS {
        Some(ProtocolError::RateLimited { retry_after })
    } else if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
        Some(ProtocolError::ServerError { status, retry_after })
    } else {
        None
    }
}

/// Returns the error for a rejection of this server or its request, with the error code of the body (RFC 6749 section 5.2).
///
/// A 403 with `Retry-After`, with no remaining requests (GitHub), or whose body [names a rate limit](RATE_LIMITS), is a rate limit.
pub(crate) fn client_refused(response: &Response<Bytes>) -> ProtocolError {
    let (status, headers) = (response.status(), response.headers());
    if status == StatusCode::FORBIDDEN {
        let remaining =
            ["x-ratelimit-remaining", "x-rate-limit-remaining"].into_iter().find_map(|name| headers.get(name));
        let nothing_left = remaining.is_some_and(|remaining| remaining == "0");
        if nothing_left || headers.contains_key(header::RETRY_AFTER) {
            return ProtocolError::RateLimited { retry_after: retry_after(headers) };
        }
        if names_rate_limit(response.body()) {
            return ProtocolError::RateLimited { retry_after: Some(UNSTATED_RETRY_AFTER) };
        }
    }
    ProtocolError::ClientRefused { status, code: error_code(response) }
}

/// Texts, in lower case, in the body of a 403 that is a rate limit: GitHub's secondary limit, and the reasons of Google's APIs
/// (`userRateLimitExceeded`, `rateLimitExceeded`, `dailyLimitExceeded`).
const RATE_LIMITS: [&str; 5] = [
    "secondary rate limit",
    "abuse detection mechanism",
    "ratelimitexceeded",
    "dailylimitexceeded",
    "rate_limit_exceeded",
];

/// After a rate limit that only the body names. GitHub asks for at least a minute.
const UNSTATED_RETRY_AFTER: Duration = Duration::from_mins(1);

/// Reports whether an error response names a rate limit, in its first 8 KiB.
fn names_rate_limit(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&body[..body.len().min(8192)]).to_ascii_lowercase();
    RATE_LIMITS.iter().any(|named| text.contains(named))
}

/// Returns the member `error` of the body, if it is an error code: it is logged.
pub(crate) fn error_code(response: &Response<Bytes>) -> Option<String> {
    let members = error_members(response)?;
    let code = members.get("error")?.as_str()?;
    is_error_code(code).then(|| code.to_owned())
}

/// Reports whether `text` has only the characters that RFC 6749 allows in an error code, and is not too long.
pub(crate) fn is_error_code(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// Returns `Retry-After` in seconds, at most an hour. A date needs a clock, so the HTTP client parses that form.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    const LONGEST: u64 = 3600;
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST)))
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()
}

fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, content_type: &str, body: &'static str) -> Response<Bytes> {
        let response =
            Response::builder().status(status).header("content-type", content_type).header("retry-after", "9");
        response.body(Bytes::from_static(body.as_bytes())).expect("response")
    }

    #[test]
    fn only_an_object_labelled_json_is_read() {
        for content_type in ["application/json", "Application/JSON; charset=utf-8", "application/jwk-set+json"] {
            assert!(json_object(&response(200, content_type, r#"{"a":1}"#)).is_ok(), "{content_type}");
        }
        for (content_type, body) in [
            ("application/jwt", r#"{"a":1}"#),
            ("text/json", r#"{"a":1}"#),
            ("text/html", "<html>"),
            ("application/json", "[1]"),
            ("application/json", r#"{"a":1,"a":2}"#),
            ("application/json", ""),
        ] {
            let error = json_object(&response(200, content_type, body)).expect_err(body);
            assert!(matches!(error, ProtocolError::NotJson { .. }), "{content_type} {body}");
        }
    }

    #[test]
    fn a_content_coding_that_is_not_decoded_is_named() {
        let mut coded = response(200, "application/json", "brotli");
        coded.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("br"));
        for error in [json_object(&coded).expect_err("coded"), token_members(&coded).expect_err("coded")] {
            assert!(error.to_string().contains("content coding br"), "{error}");
        }
    }

    #[test]
    fn failures_of_the_provider_keep_its_delay() {
        let retry_after = Some(Duration::from_secs(9));
        let limited = json_object(&response(429, "text/plain", "")).expect_err("429");
        assert_eq!(limited, ProtocolError::RateLimited { retry_after });
        for status in [500, 502, 503, 408] {
            let error = json_object(&response(status, "text/plain", "")).expect_err("failure");
            assert!(matches!(error, ProtocolError::ServerError { retry_after: Some(_), .. }), "{status}");
        }
        for status in [201, 204, 302, 404] {
            let error = json_object(&response(status, "application/json", "{}")).expect_err("status");
            assert!(matches!(error, ProtocolError::UnexpectedStatus(_)), "{status}");
        }
    }

    #[test]
    fn an_error_code_cannot_smuggle_lines_into_a_log() {
        let code = |body| error_code(&response(401, "application/json", body));
        assert_eq!(code(r#"{"error":"invalid_client"}"#).as_deref(), Some("invalid_client"));
        assert_eq!(code(r#"{"error":"a\nb"}"#), None);
        assert_eq!(code("nonsense"), None);
    }
}
