//! The JSON Schema of the file: printed for editors, and used to reject unknown keys and wrong types.

use schemars::generate::SchemaSettings;
use toml::Value;

use super::{
    ConfigError,
    document::{Document, element, member},
    file::File,
};

/// Returns the JSON Schema of the configuration file.
pub(crate) fn json_schema() -> serde_json::Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<File>().to_value()
}

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
