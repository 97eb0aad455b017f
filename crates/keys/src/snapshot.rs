//! [`Snapshot`]: a key set, and how old it may become.

use std::time::Duration;

use http::{HeaderMap, header};
use portcullis_oauth::jwt::KeySet;
use tokio::time::Instant;

const SHORTEST_INTERVAL: Duration = Duration::from_secs(60);
const USUAL_INTERVAL: Duration = Duration::from_secs(600);
const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);

/// A key set as it was fetched.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) keys: KeySet,
    fetched_at: Instant,
    interval: Duration,
}

/// How old a [`Snapshot`] is, in the words for what is to be done about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Age {
    /// Used as it is.
    Fresh,
    /// Used as it is, and fetched again in the background.
    Stale,
    /// Fetched again before it is used, and used anyway if that fails: nobody has asked for so long that a withdrawn key
    /// could be in it without any outage.
    Old,
    /// Not used: a key that was withdrawn long ago could be in it.
    Expired,
}

impl Snapshot {
    /// The keys that came with `headers`, requested at the instant `requested_at`.
    pub(crate) fn new(keys: KeySet, headers: &HeaderMap, requested_at: Instant) -> Self {
        let interval = max_age(headers).unwrap_or(USUAL_INTERVAL).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        Self { keys, fetched_at: requested_at, interval }
    }

    pub(crate) fn age(&self, now: Instant, max_age: Duration) -> Age {
        let age = now.saturating_duration_since(self.fetched_at);
        if age >= max_age {
            Age::Expired
        } else if age >= 2 * self.interval {
            Age::Old
        } else if age >= self.interval {
            Age::Stale
        } else {
            Age::Fresh
        }
    }
}

/// How long a response may be kept. [RFC 9111 section 5.2.2.1](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.1)
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = values.flat_map(|value| value.split(',')).map(str::trim);
    directives.find_map(|directive| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.to_ascii_lowercase().as_str() {
            "max-age" => value.trim_matches('"').parse().ok().map(Duration::from_secs),
            "no-store" | "no-cache" => Some(Duration::ZERO),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn max_age_is_read_whatever_is_around_it() {
        for (value, seconds) in [
            ("max-age=90", Some(90)),
            ("public, Max-Age=\"90\", must-revalidate", Some(90)),
            ("no-store", Some(0)),
            ("public", None),
            ("max-age=soon", None),
        ] {
            let headers = HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(value))]);
            assert_eq!(max_age(&headers), seconds.map(Duration::from_secs), "{value}");
        }
        assert_eq!(max_age(&HeaderMap::new()), None);
    }
}
