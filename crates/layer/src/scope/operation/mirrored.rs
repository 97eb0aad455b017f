//! The headers that mirror the body: `Mcp-Method` and `Mcp-Name`.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{protocol_version::is_modern, scope::Operation};

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// Whether `headers` say something else than the body, which asks for `operation` alone; `None`: for nothing, or for several.
///
/// They decide nothing (TR-15), but an inner service might go by them. Before 2026-07-28 they mean nothing to anybody.
/// MCP 2026-07-28, Streamable HTTP, Standard Headers. Whether they are there at all is for the inner service to check.
pub(super) fn contradict(headers: &HeaderMap, operation: Option<&Operation>) -> bool {
    if !is_modern(headers) {
        return false;
    }
    let Some(operation) = operation else { return headers.contains_key(METHOD) || headers.contains_key(NAME) };
    let say = |name, expected: &str| headers.get_all(name).iter().all(|value| says(value, expected));
    !say(METHOD, operation.method()) || operation.target().is_some_and(|target| !say(NAME, target))
}

/// Whether `value` is `expected`, bare or as `=?base64?...?=`.
fn says(value: &HeaderValue, expected: &str) -> bool {
    let value = value.as_bytes();
    match value.strip_prefix(b"=?base64?").and_then(|rest| rest.strip_suffix(b"?=")) {
        Some(encoded) => BASE64_STANDARD.decode(encoded).is_ok_and(|decoded| decoded == expected.as_bytes()),
        None => value == expected.as_bytes(),
    }
}
