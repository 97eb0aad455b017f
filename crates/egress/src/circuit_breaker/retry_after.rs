//! How long a failing provider is not called: [`back_off_window`], and [`state_retry_after`], which reads what the provider says.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, Response, StatusCode, header::RETRY_AFTER};
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

/// Returns the time that the headers of `response` say, and states it as `Retry-After` in seconds, so that a component without a clock can
/// read it. `None` if they do not say it: then they stay as they are.
///
/// It is `Retry-After`, in seconds or as a date ([RFC 9110 section 10.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)); or
/// `x-ratelimit-reset` if nothing is left (`x-ratelimit-remaining: 0`), or if the status is 429 and the number that is left is not stated.
/// Okta writes both with another hyphen (`x-rate-limit-reset`).
pub(super) fn state_retry_after<B>(response: &mut Response<B>, now: UnixTime) -> Option<Duration> {
    let (status, headers) = (response.status(), response.headers_mut());
    let is_limited = match stated(headers, REMAINING) {
        Some(remaining) => remaining == "0",
        None => status == StatusCode::TOO_MANY_REQUESTS,
    };
    let reset = || if is_limited { until_reset(headers, now) } else { None };
    let delay = retry_after(headers, now).or_else(reset)?;
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

const REMAINING: [&str; 2] = ["x-ratelimit-remaining", "x-rate-limit-remaining"];
const RESET: [&str; 2] = ["x-ratelimit-reset", "x-rate-limit-reset"];

/// Returns the first of the headers `names` that is present.
fn stated<'a>(headers: &'a HeaderMap, names: [&'static str; 2]) -> Option<&'a HeaderValue> {
    names.into_iter().find_map(|name| headers.get(name))
}

/// Reports whether the headers say that no requests are left.
pub(super) fn nothing_left(headers: &HeaderMap) -> bool {
    stated(headers, REMAINING).is_some_and(|remaining| remaining == "0")
}

/// Returns the time until the limit is reset: the header is a time since 1970 in seconds (GitHub) or, if it is too small
/// for one, a number of seconds.
fn until_reset(headers: &HeaderMap, now: UnixTime) -> Option<Duration> {
    /// The year 2001.
    const FIRST_TIME: u64 = 1_000_000_000;
    let reset: u64 = stated(headers, RESET)?.to_str().ok()?.trim().parse().ok()?;
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
        let of = |status: u16, headers: &[(&str, &str)]| {
            let response = Response::builder().status(status);
            let response = headers.iter().fold(response, |response, (name, value)| response.header(*name, *value));
            let mut response = response.body(()).expect("response");
            let delay = state_retry_after(&mut response, now);
            let header = response.headers().get(RETRY_AFTER).map(|value| value.to_str().expect("a number").to_owned());
            (delay.map(|delay| delay.as_secs()), header)
        };
        let stated = |remaining, reset| of(403, &[("x-ratelimit-remaining", remaining), ("x-ratelimit-reset", reset)]);
        assert_eq!(stated("0", "1800000090"), (Some(90), Some("90".into())));
        assert_eq!(stated("0", "1700000000"), (Some(0), Some("0".into())));
        assert_eq!(stated("0", "45"), (Some(45), Some("45".into())));
        assert_eq!(stated("1", "1800000090"), (None, None));
        assert_eq!(stated("0", "soon"), (None, None));
        let okta = [("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "1800000090")];
        assert_eq!(of(429, &okta), (Some(90), Some("90".into())));
        assert_eq!(of(429, &[("x-ratelimit-reset", "45")]), (Some(45), Some("45".into())));
        assert_eq!(of(403, &[("x-ratelimit-reset", "45")]), (None, None));
        assert_eq!(of(429, &[("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "45")]), (None, None));
    }

    #[test]
    fn a_date_is_stated_in_seconds() {
        let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:50:37 GMT");
        let mut response = Response::builder().header(RETRY_AFTER, date).body(()).expect("response");
        state_retry_after(&mut response, UnixTime::from_secs(784_111_777));
        assert_eq!(response.headers()[RETRY_AFTER], "60");
    }

    #[test]
    fn an_invalid_retry_after_is_ignored() {
        for text in ["", "-1", "1.5", "soon", "+3", "Wed, 99 Nov"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
