//! Whether the bytes of a body are the text that the inner service will read.

use http::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

/// Whether a body with these headers is UTF-8, neither compressed nor in another charset.
///
/// Bytes can be harmless JSON in UTF-8 and the call of a tool once decompressed, or read as UTF-7, and there are servers
/// that do the one and the other when a header asks for it.
pub(super) fn is_plain_utf8(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    let mut media_types = headers.get_all(CONTENT_TYPE).iter();
    encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
        && media_types.all(|media_type| media_type.to_str().is_ok_and(is_utf8))
}

/// Anything that may be taken for a charset has to be `charset=utf-8`, however the rest is to be split.
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
    fn only_utf_8_is_utf_8() {
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
