//! The rules for single values: durations, URLs, optional strings.

use std::{str::FromStr, time::Duration};

use portcullis::types::InvalidUri;

use super::{ConfigError, document::Document};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Returns `None` for an empty string: a configuration may list unused keys with empty values.
pub(super) fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Returns the problem of a URL. It does not repeat the URL, which may contain a password.
pub(super) fn uri_problem(error: &InvalidUri) -> String {
    match error {
        InvalidUri::NotHttps(_) => "must be https; http is for loopback only".to_owned(),
        InvalidUri::Forbidden(_, part) => format!("must not have a {part}"),
        _ => "is not an absolute URL".to_owned(),
    }
}

/// Parses a value; an error says what is `expected`.
pub(super) fn parse<T: FromStr>(document: &Document, path: &str, text: &str, expected: &str) -> Result<T, ConfigError> {
    text.parse().map_err(|_| document.error(path, format!("must be {expected}, not {text:?}")))
}

/// Parses a duration.
pub(super) fn duration(document: &Document, path: &str, text: &str) -> Result<Duration, ConfigError> {
    humantime::parse_duration(text)
        .map_err(|_| document.error(path, format!("must be a duration, such as \"5m\" or \"90s\", not {text:?}")))
}

/// Parses a duration that must not be zero.
pub(super) fn positive(document: &Document, path: &str, text: &str) -> Result<Duration, ConfigError> {
    match duration(document, path, text)? {
        Duration::ZERO => Err(document.error(path, "must be longer than nothing")),
        duration => Ok(duration),
    }
}

/// Returns a default as it is written in a configuration file.
pub(super) fn duration_text(duration: Duration) -> String {
    match duration.as_secs() {
        // One day is "24h".
        seconds if seconds > DAY && seconds.is_multiple_of(DAY) => format!("{}d", seconds / DAY),
        seconds if seconds >= HOUR && seconds.is_multiple_of(HOUR) => format!("{}h", seconds / HOUR),
        seconds if seconds >= MINUTE && seconds.is_multiple_of(MINUTE) => format!("{}m", seconds / MINUTE),
        seconds => format!("{seconds}s"),
    }
}
