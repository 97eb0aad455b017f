//! The tables `bridge.clients` and `bridge.resource_servers`: clients and resource servers with credentials at the bridge.

use portcullis::{
    ResourceUri, ScopeSet,
    bridge::{BridgeConfig, Client, GrantType, IntrospectionClient, RedirectUri},
};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use crate::config::{
    ConfigError,
    document::{element, given, uri_problem},
    section::Section,
};

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientTable {
    /// The client ID.
    pub(crate) client_id: String,
    /// The name that users see. Default: `client_id`.
    pub(crate) name: Option<String>,
    /// The redirect URIs.
    #[serde(default)]
    pub(crate) redirect_uris: Vec<String>,
    /// The grant types. Default: authorization codes and refresh tokens.
    #[serde(default = "codes_and_refresh_tokens")]
    pub(crate) grant_types: Vec<GrantTypeName>,
    /// The client secret. Default: none, for a public client.
    #[schemars(with = "Option<String>")]
    pub(crate) client_secret: Option<SecretString>,
    /// A file with the client secret, instead of `client_secret`.
    pub(crate) client_secret_file: Option<String>,
    /// The scopes that it may request; empty: all scopes.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
}

#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GrantTypeName {
    AuthorizationCode,
    RefreshToken,
    #[serde(rename = "urn:ietf:params:oauth:grant-type:jwt-bearer")]
    JwtBearer,
}

fn codes_and_refresh_tokens() -> Vec<GrantTypeName> {
    vec![GrantTypeName::AuthorizationCode, GrantTypeName::RefreshToken]
}

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceServer {
    /// The client ID.
    pub(crate) client_id: String,
    /// The client secret.
    #[schemars(with = "Option<String>")]
    pub(crate) client_secret: Option<SecretString>,
    /// A file with the client secret, instead of `client_secret`.
    pub(crate) client_secret_file: Option<String>,
    /// The resource whose tokens it may introspect. Default: that of this server.
    pub(crate) resource: Option<String>,
}

/// Adds the clients to `config`.
pub(super) fn add_clients(
    mut config: BridgeConfig,
    section: &Section<'_>,
    tables: Vec<ClientTable>,
    supported: &ScopeSet,
    http_hosts: &[String],
) -> Result<BridgeConfig, ConfigError> {
    for (index, table) in tables.into_iter().enumerate() {
        // An entry with empty values is ignored: a configuration may list unused keys in this way.
        if table.client_id.is_empty() && table.redirect_uris.is_empty() {
            continue;
        }
        let entry = section.below(&element("clients", index));
        let client = client(&entry, table, supported, http_hosts)?;
        config = config.with_client(client).map_err(|invalid| entry.error("client_id", invalid.why))?;
    }
    Ok(config)
}

fn client(
    entry: &Section<'_>,
    table: ClientTable,
    supported: &ScopeSet,
    http_hosts: &[String],
) -> Result<Client, ConfigError> {
    let id = &table.client_id;
    if id.is_empty() {
        return Err(entry.error("client_id", "must not be empty"));
    }
    if table.redirect_uris.is_empty() && table.grant_types.contains(&GrantTypeName::AuthorizationCode) {
        return Err(entry.error("redirect_uris", "is empty: the authorization code grant needs a redirect URI"));
    }
    let parse = |(index, text): (usize, &String)| {
        // The error does not contain the URI, which may contain a password.
        RedirectUri::with_http_hosts(text, http_hosts)
            .map_err(|error| entry.error(&element("redirect_uris", index), error.why))
    };
    let redirect_uris = table.redirect_uris.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    let name = given(table.name).unwrap_or_else(|| id.clone());
    let client = match entry.secret("client_secret", table.client_secret, table.client_secret_file)? {
        None => Client::public(id, &name, redirect_uris),
        Some(secret) => Client::confidential(id, &name, &secret, redirect_uris),
    };
    let client = client.with_grant_types(table.grant_types.into_iter().map(|grant_type| match grant_type {
        GrantTypeName::AuthorizationCode => GrantType::AuthorizationCode,
        GrantTypeName::RefreshToken => GrantType::RefreshToken,
        GrantTypeName::JwtBearer => GrantType::JwtBearer,
    }));
    if table.scopes.is_empty() {
        return Ok(client);
    }
    let scopes = entry.scopes("scopes", &table.scopes)?;
    if let Some(unknown) = scopes.iter().find(|scope| !supported.contains(scope)) {
        return Err(entry.error("scopes", format!("has {unknown:?}, which is not among `scopes_supported`")));
    }
    Ok(client.with_scopes(scopes))
}

/// Adds the resource servers to `config`, and their resources unless they are `own`.
pub(super) fn add_resource_servers(
    mut config: BridgeConfig,
    section: &Section<'_>,
    own: &ResourceUri,
    tables: Vec<ResourceServer>,
) -> Result<BridgeConfig, ConfigError> {
    let mut known = vec![own.clone()];
    for (index, table) in tables.into_iter().enumerate() {
        let entry = section.below(&element("resource_servers", index));
        let secret = entry.secret("client_secret", table.client_secret, table.client_secret_file)?;
        let why = "introspection requires client authentication";
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
