//! The rules for one entry of `bridge.resource_servers`.

use portcullis::{
    ResourceUri,
    bridge::{BridgeConfig, IntrospectionClient},
};

use super::table;
use crate::config::{
    ConfigError,
    document::element,
    section::Section,
    validate::{given, uri_problem},
};

/// Adds the resource servers to `config`, and their resources, unless they are `own`.
pub(super) fn add_all(
    mut config: BridgeConfig,
    section: &Section<'_>,
    own: &ResourceUri,
    tables: Vec<table::ResourceServer>,
) -> Result<BridgeConfig, ConfigError> {
    let mut known = vec![own.clone()];
    for (index, table) in tables.into_iter().enumerate() {
        let entry = section.below(&element("resource_servers", index));
        let secret = entry.secret("client_secret", table.client_secret, table.client_secret_file)?;
        let why = "what a token is, is told to those who prove who they are";
        let credentials = entry.credentials(Some(table.client_id), secret, why)?;
        let resource = match given(table.resource) {
            Some(text) => ResourceUri::new(&text).map_err(|error| entry.error("resource", uri_problem(&error)))?,
            None => own.clone(),
        };
        if !known.contains(&resource) {
            config = config.with_resource(resource.clone());
            known.push(resource.clone());
        }
        let server = IntrospectionClient::new(&credentials.client_id, &credentials.client_secret, resource);
        config = config.with_introspection_client(server);
    }
    Ok(config)
}
