//! The rules for one entry of `bridge.clients`, and between them.

use portcullis::{
    ScopeSet,
    bridge::{BridgeConfig, Client, GrantType, RedirectUri},
};

use super::table;
use crate::config::{ConfigError, document::element, section::Section, validate::given};

/// Adds the clients to `config`.
pub(super) fn add_all(
    mut config: BridgeConfig,
    section: &Section<'_>,
    tables: Vec<table::Client>,
    supported: &ScopeSet,
) -> Result<BridgeConfig, ConfigError> {
    for (index, table) in tables.into_iter().enumerate() {
        // The reference configuration has an entry that says nothing.
        if table.client_id.is_empty() && table.redirect_uris.is_empty() {
            continue;
        }
        let entry = section.below(&element("clients", index));
        let client = validate(&entry, table, supported)?;
        config = config.with_client(client).map_err(|invalid| entry.error("client_id", invalid.why))?;
    }
    Ok(config)
}

fn validate(entry: &Section<'_>, table: table::Client, supported: &ScopeSet) -> Result<Client, ConfigError> {
    let id = &table.client_id;
    if id.is_empty() {
        return Err(entry.error("client_id", "must not be empty"));
    }
    if table.redirect_uris.is_empty() && table.grant_types.contains(&table::GrantType::AuthorizationCode) {
        return Err(entry.error("redirect_uris", "is empty: there is nowhere to send its users back to"));
    }
    let parse = |(index, text): (usize, &String)| {
        // What is wrong, without the URI: somebody may have written a password into it.
        RedirectUri::new(text).map_err(|error| entry.error(&element("redirect_uris", index), error.why))
    };
    let redirect_uris = table.redirect_uris.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    let name = given(table.name).unwrap_or_else(|| id.clone());
    let client = match entry.secret("client_secret", table.client_secret, table.client_secret_file)? {
        None => Client::public(id, &name, redirect_uris),
        Some(secret) => Client::confidential(id, &name, &secret, redirect_uris),
    };
    let client = client.with_grant_types(table.grant_types.into_iter().map(|grant_type| match grant_type {
        table::GrantType::AuthorizationCode => GrantType::AuthorizationCode,
        table::GrantType::RefreshToken => GrantType::RefreshToken,
        table::GrantType::JwtBearer => GrantType::JwtBearer,
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
