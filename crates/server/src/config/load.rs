//! From a file and the environment to a [`Config`].

use std::{ffi::OsString, path::Path};

use super::{
    Config, ConfigError,
    document::Document,
    environment,
    file::File,
    schema::{Node, json_schema},
    validate::validate,
};

/// Loads `file`, with `variables` laid over it.
pub(crate) fn load(
    file: &Path,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config, ConfigError> {
    finish(Document::read(file)?, variables)
}

/// Loads `text`, with `variables` laid over it; errors call it `name`.
pub(crate) fn load_text(
    name: &str,
    text: &str,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config, ConfigError> {
    finish(Document::parse(name, text)?, variables)
}

fn finish(
    mut document: Document,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config, ConfigError> {
    let schema = json_schema();
    let schema = Node::new(&schema);
    environment::overlay(&mut document, schema, variables)?;
    schema.check(&document, &document.root, "")?;
    validate(document.deserialize::<File>()?, &document)
}
