//! [`max_age`]: for how long a response may be cached.

use std::time::Duration;

use http::{HeaderMap, header};

/// Returns for how long a response may be cached: the `max-age` of `Cache-Control`; zero for `no-store` and `no-cache`; `None` if the
/// header does not say. [RFC 9111 section 5.2.2.1](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.1)
///
/// The sender of the response chooses the value: the caller should clamp it. `Expires` and `Age` are ignored.
#[must_use]
pub fn max_age(headers: &HeaderMap) -> Option<Duration> {
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
    fn max_age_is_read_beside_other_directives() {
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
