//! The JSON Schema of the file rejects unknown keys and wrong types, and types the environment variables that override the file:
//! `PORTCULLIS__RESOURCE_SERVER__ISSUERS__0__ISSUER`.

use std::ffi::OsString;

use toml::{Table, Value};

use super::document::{ConfigError, Document, element, member};

/// A node of the schema.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a>(&'a serde_json::Value);

/// The type of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Table,
    List,
    Text,
    Boolean,
    Integer,
}

impl<'a> Node<'a> {
    pub(crate) const fn new(schema: &'a serde_json::Value) -> Self {
        Self(schema)
    }

    pub(crate) fn kind(self) -> Kind {
        let written = &self.0["type"];
        // `["string", "null"]` is an optional string; TOML has no null.
        match written.as_str().or_else(|| written[0].as_str()) {
            Some("object") => Kind::Table,
            Some("array") => Kind::List,
            Some("boolean") => Kind::Boolean,
            Some("integer") => Kind::Integer,
            _ => Kind::Text,
        }
    }

    pub(crate) fn member(self, key: &str) -> Option<Self> {
        self.0["properties"].get(key).map(Self)
    }

    pub(crate) fn item(self) -> Self {
        Self(&self.0["items"])
    }

    fn keys(self) -> impl Iterator<Item = &'a str> {
        self.0["properties"].as_object().into_iter().flat_map(|members| members.keys()).map(String::as_str)
    }

    fn required(self) -> impl Iterator<Item = &'a str> {
        self.0["required"].as_array().into_iter().flatten().filter_map(|key| key.as_str())
    }

    fn choices(self) -> Vec<&'a str> {
        self.0["enum"].as_array().into_iter().flatten().filter_map(|choice| choice.as_str()).collect()
    }

    /// Rejects unknown keys, absent keys and wrong types below `path`.
    pub(crate) fn check(self, document: &Document, value: &Value, path: &str) -> Result<(), ConfigError> {
        match (self.kind(), value) {
            (Kind::Table, Value::Table(table)) => {
                for (key, value) in table {
                    let path = member(path, key);
                    self.member(key)
                        .ok_or_else(|| self.unknown_key(document, &path, key))?
                        .check(document, value, &path)?;
                }
                match self.required().find(|key| !table.contains_key(*key)) {
                    Some(absent) => Err(document.error(&member(path, absent), "is missing")),
                    None => Ok(()),
                }
            }
            (Kind::List, Value::Array(values)) => values
                .iter()
                .enumerate()
                .try_for_each(|(index, value)| self.item().check(document, value, &element(path, index))),
            (Kind::Text, Value::String(text)) => self.check_choice(document, text, path),
            (Kind::Integer, Value::Integer(number)) if *number < 0 => Err(document.error(path, "must not be negative")),
            (Kind::Integer, Value::Integer(_)) | (Kind::Boolean, Value::Boolean(_)) => Ok(()),
            // The error does not contain the value, which may be a secret.
            (expected, found) => {
                Err(document.error(path, format!("must be {}, not {}", expected.article(), found.type_str())))
            }
        }
    }

    fn check_choice(self, document: &Document, text: &str, path: &str) -> Result<(), ConfigError> {
        let choices = self.choices();
        if choices.is_empty() || choices.contains(&text) {
            return Ok(());
        }
        Err(document.error(path, format!("must be one of {}, not {text:?}", choices.join(", "))))
    }

    /// Creates the error about an unknown key, with the nearest known key.
    pub(crate) fn unknown_key(self, document: &Document, path: &str, key: &str) -> ConfigError {
        let likeness = |known: &str| strsim::jaro_winkler(known, key);
        let nearest = self.keys().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default();
        document.error(path, format!("is an unknown key; the nearest known key is `{nearest}`"))
    }
}

impl Kind {
    const fn article(self) -> &'static str {
        match self {
            Self::Table => "a table",
            Self::List => "an array",
            Self::Text => "a string",
            Self::Boolean => "true or false",
            Self::Integer => "an integer",
        }
    }
}

const PREFIX: &str = "PORTCULLIS__";

/// Applies the variables that begin with [`PREFIX`] to `document`: `__` separates nested tables, numbers are array elements.
pub(super) fn overlay(
    document: &mut Document,
    schema: Node<'_>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(), ConfigError> {
    let mut found = Vec::new();
    for (name, value) in variables {
        let Ok(name) = name.into_string() else { continue };
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        let steps: Vec<Step> = path.split("__").map(Step::new).collect();
        let value = value.into_string().map_err(|_| ConfigError::new(&name, "is not UTF-8"))?;
        found.push((steps, name, value));
    }
    // Elements are appended in order, and the environment has no order.
    found.sort();
    for (steps, name, text) in found {
        // The values are moved out because `set` borrows the document mutably.
        let mut root = std::mem::replace(&mut document.root, Value::Boolean(false));
        let outcome = set(document, schema, &mut root, &steps, Given { name: &name, text: &text }, "");
        document.root = root;
        outcome?;
    }
    Ok(())
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Index(usize),
    Key(String),
}

impl Step {
    fn new(written: &str) -> Self {
        written.parse().map_or_else(|_| Self::Key(written.to_ascii_lowercase()), Self::Index)
    }
}

#[derive(Clone, Copy)]
struct Given<'a> {
    name: &'a str,
    text: &'a str,
}

fn set(
    document: &mut Document,
    node: Node<'_>,
    slot: &mut Value,
    steps: &[Step],
    given: Given<'_>,
    path: &str,
) -> Result<(), ConfigError> {
    let Some((step, rest)) = steps.split_first() else {
        document.note(path.to_owned(), given.name.to_owned());
        *slot = typed(node.kind(), given.text);
        return Ok(());
    };
    match (node.kind(), step) {
        (Kind::Table, Step::Key(key)) => {
            let path = member(path, key);
            let Some(node) = node.member(key) else {
                document.note(path.clone(), given.name.to_owned());
                return Err(node.unknown_key(document, &path, key));
            };
            let table = as_table(slot);
            let slot = table.entry(key.clone()).or_insert(Value::Boolean(false));
            set(document, node, slot, rest, given, &path)
        }
        (Kind::List, Step::Index(index)) => {
            let values = as_array(slot);
            if *index > values.len() {
                let problem = format!("`{path}` has {} elements, so {index} leaves a gap", values.len());
                return Err(ConfigError::new(given.name, problem));
            }
            if *index == values.len() {
                values.push(Value::Boolean(false));
                document.note(element(path, *index), given.name.to_owned());
            }
            set(document, node.item(), &mut values[*index], rest, given, &element(path, *index))
        }
        (Kind::List, Step::Key(_)) => {
            Err(ConfigError::new(given.name, format!("`{path}` is an array: its elements are numbers")))
        }
        (Kind::Table | Kind::Text | Kind::Boolean | Kind::Integer, _) => {
            Err(ConfigError::new(given.name, format!("`{path}` has no members")))
        }
    }
}

fn as_table(slot: &mut Value) -> &mut Table {
    if !slot.is_table() {
        *slot = Value::Table(Table::new());
    }
    slot.as_table_mut().expect("it has just been made a table")
}

fn as_array(slot: &mut Value) -> &mut Vec<Value> {
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    slot.as_array_mut().expect("it has just been made an array")
}

/// Returns a string as it is, and parses other types as in the file. The schema check rejects what cannot be parsed.
fn typed(kind: Kind, text: &str) -> Value {
    let text_value = || Value::String(text.to_owned());
    match kind {
        Kind::Text => text_value(),
        Kind::Table | Kind::List | Kind::Boolean | Kind::Integer => text.parse().unwrap_or_else(|_| text_value()),
    }
}
