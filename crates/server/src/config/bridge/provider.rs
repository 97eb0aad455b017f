//! The rules for the provider: what each vendor needs to be told.

use portcullis::{Issuer, oauth::providers::Provider, types::InvalidUri};

use super::{
    EndpointSettings, KnownProvider, ProviderSettings,
    table::{Bridge, Endpoints, ProviderName},
};
use crate::config::{
    ConfigError,
    document::element,
    section::Section,
    validate::{given, uri_problem},
};

/// Takes out of `table` what it says of the provider.
pub(super) fn validate(section: &Section<'_>, table: &mut Bridge) -> Result<ProviderSettings, ConfigError> {
    let endpoints = endpoints(section, std::mem::take(&mut table.endpoints))?;
    let issuer = given(table.issuer.take()).map(|text| section.issuer("issuer", &text)).transpose()?;
    let all = |provider| KnownProvider::All(Box::new(provider));
    let known = match (known(section, table)?, issuer) {
        // A stand-in signs with keys of its own. Unless it is said where they are, who a user is, the profile alone tells.
        (Some(provider), None) if endpoints.token.is_some() && endpoints.jwks.is_none() => {
            all(provider.without_id_tokens())
        }
        (Some(provider), None) => all(provider),
        (Some(provider), Some(issuer)) => all(provider.with_issuer(issuer)),
        (None, Some(issuer)) => named(issuer, &endpoints),
        (None, None) => return Err(section.error("issuer", "is missing: it says which OpenID provider is meant")),
    };
    let dead_grant_errors = dead_grant_errors(section, std::mem::take(&mut table.dead_grant_errors))?;
    Ok(ProviderSettings { known, endpoints, dead_grant_errors })
}

/// What a provider says that fails, or that does not know this server. It ends nothing, whatever is written.
const NO_GRANT_ENDS: [&str; 3] = ["invalid_client", "temporarily_unavailable", "server_error"];

fn dead_grant_errors(section: &Section<'_>, errors: Vec<String>) -> Result<Vec<String>, ConfigError> {
    for (index, error) in errors.iter().enumerate() {
        let problem = match &**error {
            "" => "must not be empty",
            error if NO_GRANT_ENDS.contains(&error) => "is about this server or an outage, and must not end a grant",
            _ => continue,
        };
        return Err(section.error(&element("dead_grant_errors", index), problem));
    }
    Ok(errors)
}

/// The provider, where the vendor is known.
fn known(section: &Section<'_>, table: &mut Bridge) -> Result<Option<Provider>, ConfigError> {
    let host = given(table.host.take());
    let invalid = |key: &'static str| move |error: InvalidUri| section.error(key, uri_problem(&error));
    Ok(Some(match table.provider {
        ProviderName::Oidc => return Ok(None),
        ProviderName::Google => Provider::google(),
        ProviderName::Atlassian => Provider::atlassian(),
        ProviderName::Github => match host {
            None => Provider::github(),
            Some(host) => Provider::github_enterprise(&host).map_err(invalid("host"))?,
        },
        ProviderName::Salesforce => {
            Provider::salesforce(host.as_deref().unwrap_or("login.salesforce.com")).map_err(invalid("host"))?
        }
        ProviderName::Keycloak => {
            let missing = |key: &str| section.error(key, "is missing: keycloak needs `server_url` and `realm`");
            let server_url = given(table.server_url.take()).ok_or_else(|| missing("server_url"))?;
            let realm = given(table.realm.take()).ok_or_else(|| missing("realm"))?;
            // Also whether it may be reached.
            section.issuer("server_url", &server_url)?;
            Provider::keycloak(&server_url, &realm).map_err(invalid("realm"))?
        }
    }))
}

/// An OpenID provider is asked for its metadata, unless the configuration says all that is needed.
fn named(issuer: Issuer, endpoints: &EndpointSettings) -> KnownProvider {
    match (&endpoints.authorize, &endpoints.token) {
        (Some(authorize), Some(token)) => {
            KnownProvider::All(Provider::oidc_at(issuer, authorize.clone(), token.clone()).into())
        }
        _ => KnownProvider::Issuer(issuer),
    }
}

fn endpoints(section: &Section<'_>, table: Endpoints) -> Result<EndpointSettings, ConfigError> {
    let section = section.below("endpoints");
    Ok(EndpointSettings {
        authorize: section.url("authorize", table.authorize)?,
        token: section.url("token", table.token)?,
        userinfo: section.url("userinfo", table.userinfo)?,
        revocation: section.url("revocation", table.revocation)?,
        introspection: section.url("introspection", table.introspection)?,
        jwks: section.url("jwks", table.jwks)?,
    })
}
