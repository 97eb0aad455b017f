//! [`back_off_window`] and [`retry_after`]: how long a failing provider is not called.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header::RETRY_AFTER};
use portcullis_core::UnixTime;

const FIRST_WINDOW: Duration = Duration::from_secs(1);
pub(super) const LONGEST_WINDOW: Duration = Duration::from_secs(30);
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Returns how long an operation is not repeated that has failed, after `failures` earlier failures.
///
/// 1 s, doubled with each failure, up to 30 s; or longer, up to 5 min, if the provider `asked` for that. Up to a quarter is added at
/// random, so that many processes do not come back at once.
#[must_use]
pub fn back_off_window(failures: u32, asked: Option<Duration>) -> Duration {
    let doubled = FIRST_WINDOW.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_WINDOW);
    let asked = asked.unwrap_or_default().min(LONGEST_RETRY_AFTER);
    doubled.max(asked).mul_f64(rand::random_range(1.0..1.25))
}

/// Returns the time that `Retry-After` says, in seconds or as a date. `None` if the header is missing or invalid.
///
/// [RFC 9110 section 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: UnixTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        // A number that overflows is longer than any bound.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some((UnixTime::default() + date).saturating_duration_since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_doubles_and_is_bounded() {
        let about = |failures, asked: Option<u64>, seconds: u64| {
            let window = back_off_window(failures, asked.map(Duration::from_secs));
            let least = Duration::from_secs(seconds);
            assert!(window >= least && window < least.mul_f64(1.25), "{failures} {asked:?}: {window:?}");
        };
        about(0, None, 1);
        about(3, None, 8);
        about(u32::MAX, None, 30);
        about(0, Some(20), 20);
        about(5, Some(1), 30);
        about(0, Some(u64::MAX), 300);
    }

    fn parse(text: &'static str) -> Option<u64> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, http::HeaderValue::from_static(text))]);
        retry_after(&headers, UnixTime::from_secs(784_111_777)).map(|delay| delay.as_secs())
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(parse("0"), Some(0));
        assert_eq!(parse("120"), Some(120));
        assert_eq!(parse("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(parse("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(parse("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(retry_after(&HeaderMap::new(), UnixTime::default()), None);
    }

    #[test]
    fn an_invalid_retry_after_is_ignored() {
        for text in ["", "-1", "1.5", "soon", "+3", "Wed, 99 Nov"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
