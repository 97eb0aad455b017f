//! Whether a form was sent from a page of our own.

use http::{HeaderMap, HeaderValue, header};
use url::Url;

use crate::urls::Urls;

/// Whether a form was sent from a page of our own, as far as the browser says: by `Origin`
/// ([RFC 6454 section 7](https://www.rfc-editor.org/rfc/rfc6454#section-7)) and `Sec-Fetch-Site` (Fetch Metadata).
///
/// Old browsers say neither. For them, and besides, there is the cookie that the form must fit.
pub(crate) fn is_same_origin(headers: &HeaderMap, urls: &Urls) -> bool {
    let fetched_here = only(headers, "sec-fetch-site").is_none_or(|site| site == "same-origin");
    let own = Url::parse(urls.origin()).map(|url| url.origin().ascii_serialization());
    let from_here = only(headers, header::ORIGIN.as_str())
        .is_none_or(|origin| own.as_ref().is_ok_and(|own| origin == own.as_str()));
    fetched_here && from_here
}

/// The value of a header; one that is repeated is nobody's.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a HeaderValue> {
    static NOBODY: HeaderValue = HeaderValue::from_static("null");
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Some(&NOBODY),
        (value, _) => value,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use portcullis_core::Issuer;

    use super::*;

    fn is_ours(issuer: &str, headers: &[(&'static str, &'static str)]) -> bool {
        let headers =
            headers.iter().map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        is_same_origin(&headers.collect(), &Urls::new(&Issuer::new(issuer).expect("an issuer")))
    }

    #[test]
    fn an_origin_is_compared_as_browsers_write_it() {
        const OURS: [(&str, &str); 1] = [("origin", "https://mcp.example.com")];
        assert!(is_ours("https://mcp.example.com", &OURS));
        assert!(is_ours("https://mcp.example.com/tenant", &OURS));
        assert!(is_ours("https://mcp.example.com:443", &OURS), "browsers leave the usual port out");
        assert!(!is_ours("https://mcp.example.com:8443", &OURS));
        assert!(is_ours("https://mcp.example.com:8443", &[("origin", "https://mcp.example.com:8443")]));
        assert!(!is_ours("https://mcp.example.com", &[("origin", "null")]));
    }

    #[test]
    fn what_is_said_twice_is_said_by_nobody() {
        let ours = ("origin", "https://mcp.example.com");
        assert!(!is_ours("https://mcp.example.com", &[ours, ours]));
        assert!(!is_ours(
            "https://mcp.example.com",
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]
        ));
        assert!(is_ours("https://mcp.example.com", &[]), "an old browser says nothing");
    }
}
