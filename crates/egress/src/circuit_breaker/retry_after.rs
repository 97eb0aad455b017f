//! How long a failing provider is not called: [`back_off_window`], and [`state_retry_after`], which reads what the provider says.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, header::RETRY_AFTER};
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

/// Returns the time that the headers say, and states it as `Retry-After` in seconds, so that a component without a clock can read it.
/// `None` if they do not say it: then they stay as they are.
///
/// It is `Retry-After`, in seconds or as a date ([RFC 9110 section 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)); or
/// if nothing is left (`x-ratelimit-remaining: 0`), `x-ratelimit-reset`.
pub(super) fn state_retry_after(headers: &mut HeaderMap, now: UnixTime) -> Option<Duration> {
    let delay = retry_after(headers, now).or_else(|| until_reset(headers, now))?;
    // A part of a second counts as a second: an earlier call would be too early.
    let seconds = delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0));
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    Some(delay)
}

fn retry_after(headers: &HeaderMap, now: UnixTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        // A number that overflows is longer than any bound.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some((UnixTime::default() + date).saturating_duration_since(now))
}

/// Reports whether the headers say that no requests are left.
pub(super) fn nothing_left(headers: &HeaderMap) -> bool {
    headers.get("x-ratelimit-remaining").is_some_and(|remaining| remaining == "0")
}

/// Returns the time until the limit is reset, if nothing is left: the header is a time since 1970 in seconds (GitHub) or, if it is too small
/// for one, a number of seconds.
fn until_reset(headers: &HeaderMap, now: UnixTime) -> Option<Duration> {
    /// The year 2001.
    const FIRST_TIME: u64 = 1_000_000_000;
    if !nothing_left(headers) {
        return None;
    }
    let reset: u64 = headers.get("x-ratelimit-reset")?.to_str().ok()?.trim().parse().ok()?;
    Some(match reset {
        FIRST_TIME.. => UnixTime::from_secs(reset).saturating_duration_since(now),
        _ => Duration::from_secs(reset),
    })
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
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
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
    fn the_reset_of_a_limit_counts_if_nothing_is_left() {
        let now = UnixTime::from_secs(1_800_000_000);
        let stated = |remaining: &'static str, reset: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-ratelimit-remaining", HeaderValue::from_static(remaining));
            headers.insert("x-ratelimit-reset", HeaderValue::from_static(reset));
            let delay = state_retry_after(&mut headers, now);
            let header = headers.get(RETRY_AFTER).map(|value| value.to_str().expect("a number").to_owned());
            (delay.map(|delay| delay.as_secs()), header)
        };
        assert_eq!(stated("0", "1800000090"), (Some(90), Some("90".into())));
        assert_eq!(stated("0", "1700000000"), (Some(0), Some("0".into())));
        assert_eq!(stated("0", "45"), (Some(45), Some("45".into())));
        assert_eq!(stated("1", "1800000090"), (None, None));
        assert_eq!(stated("0", "soon"), (None, None));
    }

    #[test]
    fn a_date_is_stated_in_seconds() {
        let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:50:37 GMT");
        let mut headers = HeaderMap::from_iter([(RETRY_AFTER, date)]);
        state_retry_after(&mut headers, UnixTime::from_secs(784_111_777));
        assert_eq!(headers[RETRY_AFTER], "60");
    }

    #[test]
    fn an_invalid_retry_after_is_ignored() {
        for text in ["", "-1", "1.5", "soon", "+3", "Wed, 99 Nov"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
