//! Environment variables that override the file: `PORTCULLIS__RESOURCE_SERVER__ISSUERS__0__ISSUER`.

use std::ffi::OsString;

use toml::{Table, Value};

use super::{
    ConfigError,
    document::{Document, element, member},
    schema::{Kind, Node},
};

const PREFIX: &str = "PORTCULLIS__";

/// Applies the variables that begin with [`PREFIX`] to `document`: `__` separates nested tables, numbers are array elements.
pub(crate) fn overlay(
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
