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
