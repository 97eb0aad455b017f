//! Reads `Retry-After`.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header::RETRY_AFTER};
use portcullis_core::UnixTime;

/// How long `Retry-After` asks to wait, in seconds or until a date. `None` if it is not there or makes no sense.
///
/// [RFC 9110 section 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3).
pub(super) fn parse(headers: &HeaderMap, now: UnixTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        // More digits than a number can hold is longer than anybody waits.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some((UnixTime::default() + date).saturating_duration_since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Option<u64> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, http::HeaderValue::from_static(text))]);
        parse(&headers, UnixTime::from_secs(784_111_777)).map(|delay| delay.as_secs())
    }

    #[test]
    fn seconds_or_a_date() {
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("120"), Some(120));
        assert_eq!(read("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(read("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(parse(&HeaderMap::new(), UnixTime::default()), None);
    }

    #[test]
    fn nonsense_is_ignored() {
        for text in ["", "-1", "1.5", "soon", "+3", "Wed, 99 Nov"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
