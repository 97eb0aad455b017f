//! Checks of the request headers that must agree with the body: the mirrored headers, the encoding and the charset.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

use crate::{scope::Operation, session::is_modern};

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// Reports whether the mirrored headers name `operation`, the only operation of the body; `None` if the body has none or several.
///
/// No decision is based on these headers (TR-15), but an inner service might rely on them. Before 2026-07-28 they have no meaning.
/// MCP 2026-07-28, Streamable HTTP, Standard Headers. The inner service checks whether they are present.
pub(super) fn mirror_operation(headers: &HeaderMap, operation: Option<&Operation>) -> bool {
    if !is_modern(headers) {
        return true;
    }
    let Some(operation) = operation else { return !headers.contains_key(METHOD) && !headers.contains_key(NAME) };
    let all_match = |name, expected: &str| headers.get_all(name).iter().all(|value| matches_body(value, expected));
    all_match(METHOD, operation.method()) && operation.target().is_none_or(|target| all_match(NAME, target))
}

/// Reports whether `value` is `expected`, as it is or as `=?base64?...?=`.
fn matches_body(value: &HeaderValue, expected: &str) -> bool {
    let value = value.as_bytes();
    match value.strip_prefix(b"=?base64?").and_then(|rest| rest.strip_suffix(b"?=")) {
        Some(encoded) => BASE64_STANDARD.decode(encoded).is_ok_and(|decoded| decoded == expected.as_bytes()),
        None => value == expected.as_bytes(),
    }
}

/// Reports whether a body with these headers is UTF-8, neither compressed nor in another charset.
///
/// The same bytes can be harmless JSON in UTF-8, and the call of a tool when they are decompressed or decoded as UTF-7. Some servers
/// do either when a header requests it.
pub(super) fn is_plain_utf8(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    let mut media_types = headers.get_all(CONTENT_TYPE).iter();
    encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
        && media_types.all(|media_type| media_type.to_str().is_ok_and(is_utf8))
}

/// Reports whether every parameter that could be parsed as a charset is `charset=utf-8`.
fn is_utf8(media_type: &str) -> bool {
    let mut parameters = media_type.split(';').skip(1).map(|parameter| parameter.trim().to_ascii_lowercase());
    parameters.all(|parameter| {
        !parameter.contains("charset") || matches!(&*parameter, "charset=utf-8" | "charset=\"utf-8\"" | "charset=utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_charset_utf_8_is_accepted() {
        for plain in [
            "application/json",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json; profile=x; charset=utf8",
        ] {
            assert!(is_utf8(plain), "{plain}");
        }
        for other in [
            "application/json; charset=utf-7",
            "application/json; charset=utf-8; charset=utf-7",
            "application/json; charset=utf-16le",
            "application/json; charset = utf-7",
            "application/json; charset*=utf-7''x",
            "application/json; x=\";charset=utf-7\"",
            "application/json;charset=utf-8,text/plain;charset=utf-7",
            "application/json;charset=",
        ] {
            assert!(!is_utf8(other), "{other}");
        }
    }
}
