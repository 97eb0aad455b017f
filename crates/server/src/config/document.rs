//! [`Document`]: the values of a configuration, with the place of each, and the rules for single values.

use std::{collections::HashMap, fs, path::Path, str::FromStr, time::Duration};

use portcullis::types::InvalidUri;
use serde::de::DeserializeOwned;
use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A configuration error: one line with the place (file and line, or variable), the key and the problem. It never contains the value
/// of a secret.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    place: String,
    problem: String,
}

impl ConfigError {
    pub(super) fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        // The messages of parsers have several lines; the log of an operator has one per error.
        let problem = problem.into().lines().collect::<Vec<_>>().join(", ");
        Self { place: place.into(), problem }
    }
}

/// The values of a configuration, with the place (line of the file, or variable) of each.
#[derive(Debug)]
pub(crate) struct Document {
    name: String,
    pub(crate) root: Value,
    places: HashMap<String, String>,
}

impl Document {
    /// Reads and parses a file.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text =
            fs::read_to_string(path).map_err(|error| ConfigError::new(&name, format!("cannot be read: {error}")))?;
        Self::parse(&name, &text)
    }

    /// Parses `text`; errors call it `name`.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let syntax = |error: &toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            ConfigError::new(format!("{name}:{}:{}", line(text, at), column(text, at)), error.message())
        };
        let spans = DeTable::parse(text).map_err(|error| syntax(&error))?;
        let root: Table = text.parse().map_err(|error| syntax(&error))?;
        let mut places = HashMap::new();
        note_table(spans.get_ref(), "", &mut |path, at| {
            places.insert(path, format!("{name}:{}", line(text, at)));
        });
        Ok(Self { name: name.to_owned(), root: Value::Table(root), places })
    }

    /// Records that the value at `path` comes from `place`.
    pub(crate) fn note(&mut self, path: String, place: String) {
        self.places.insert(path, place);
    }

    /// Creates an error about the value at `path`. If there is none, the place is that of the nearest table.
    pub(crate) fn error(&self, path: &str, problem: impl AsRef<str>) -> ConfigError {
        let mut known = path;
        let place = loop {
            match self.places.get(known) {
                Some(place) => break place,
                None if known.is_empty() => break &self.name,
                None => known = parent(known),
            }
        };
        let problem = problem.as_ref();
        ConfigError::new(place, if path.is_empty() { problem.to_owned() } else { format!("`{path}` {problem}") })
    }

    /// Deserializes the values, after the schema has been checked.
    pub(crate) fn deserialize<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        // The text of serde's error may quote a value, and the value may be a secret.
        self.root
            .clone()
            .try_into()
            .map_err(|_| ConfigError::new(&self.name, "does not have the form of a configuration"))
    }
}

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
        Duration::ZERO => Err(document.error(path, "must be longer than zero")),
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

/// Returns the path of `key` in the table at `path`.
pub(crate) fn member(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Returns the path of element `index` of the array at `path`.
pub(crate) fn element(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

fn parent(path: &str) -> &str {
    path.rfind(['.', '[']).map_or("", |at| &path[..at])
}

fn note_table(table: &DeTable<'_>, path: &str, note: &mut impl FnMut(String, usize)) {
    for (key, value) in table {
        let path = member(path, key.get_ref());
        note(path.clone(), key.span().start);
        note_value(value, &path, note);
    }
}

fn note_value(value: &Spanned<DeValue<'_>>, path: &str, note: &mut impl FnMut(String, usize)) {
    match value.get_ref() {
        DeValue::Table(table) => note_table(table, path, note),
        DeValue::Array(array) => {
            for (index, value) in array.iter().enumerate() {
                let path = element(path, index);
                note(path.clone(), value.span().start);
                note_value(value, &path, note);
            }
        }
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}

fn line(text: &str, at: usize) -> usize {
    before(text, at).matches('\n').count() + 1
}

fn column(text: &str, at: usize) -> usize {
    before(text, at).rsplit('\n').next().map_or(0, |start| start.chars().count()) + 1
}

fn before(text: &str, at: usize) -> &str {
    text.get(..at).unwrap_or(text)
}
