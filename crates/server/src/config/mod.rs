//! [`Config`]: the configuration, read from a TOML file and environment variables, and validated before anything starts.
//!
//! [`document`] parses the file and records the line of each key, [`environment`] applies the variables, [`schema`] rejects unknown
//! keys and wrong types, and each section's module validates the values.

mod bridge;
mod connections;
mod document;
mod environment;
mod file;
mod issuer;
mod schema;
mod section;
mod settings;
mod store;
mod validate;

#[cfg(test)]
mod tests;

use std::{ffi::OsString, net::SocketAddr, path::Path};

use http::HeaderName;
use portcullis::{ResourceUri, ScopeSet};

pub(crate) use self::{
    bridge::{BridgeSettings, EndpointSettings, KnownProvider, ProviderSettings},
    settings::{CacheSettings, Credentials, EgressSettings, IssuerSettings, ModeSettings, Verification},
    store::StoreSettings,
};
use self::{
    document::Document,
    file::File,
    schema::{Node, json_schema},
    validate::validate,
};
use crate::connections::Limits;

pub use self::document::ConfigError;

/// The configuration of a [`Server`](crate::Server), validated.
#[derive(Debug)]
pub struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) resource: ResourceUri,
    pub(crate) admin_listen: Option<SocketAddr>,
    pub(crate) client_address_header: Option<HeaderName>,
    pub(crate) connections: Limits,
    pub(crate) required_scopes: ScopeSet,
    pub(crate) mode: ModeSettings,
    pub(crate) cache: CacheSettings,
    pub(crate) egress: EgressSettings,
}

impl Config {
    /// Loads a TOML file. The environment `variables` that begin with `PORTCULLIS__` override its keys.
    ///
    /// # Errors
    ///
    /// Returns the first error, with the line of the file or the name of the variable.
    pub fn load(file: &Path, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        Self::read(Document::read(file)?, variables)
    }

    /// Parses `text` as [`load`](Self::load) parses a file. Error messages call the text `name`.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn parse(
        name: &str,
        text: &str,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        Self::read(Document::parse(name, text)?, variables)
    }

    fn read(
        mut document: Document,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let schema = json_schema();
        let schema = Node::new(&schema);
        environment::overlay(&mut document, schema, variables)?;
        schema.check(&document, &document.root, "")?;
        validate(document.deserialize::<File>()?, &document)
    }

    /// Returns the JSON Schema of the configuration file.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        json_schema()
    }

    /// Returns the address to listen on.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Returns the resource: the public URL of the MCP endpoint.
    #[must_use]
    pub const fn resource(&self) -> &ResourceUri {
        &self.resource
    }

    /// Returns the scopes that every request needs.
    #[must_use]
    pub const fn required_scopes(&self) -> &ScopeSet {
        &self.required_scopes
    }
}
