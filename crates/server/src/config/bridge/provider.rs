//! The provider of the section `bridge`: its endpoints, and the parameters of authorization requests.

use http::Uri;
use portcullis::{Issuer, ScopeSet, bridge::BridgeConfig, oauth::providers::Provider, types::InvalidUri};

use super::table::{Bridge, Endpoints, ProviderName};
use crate::config::{
    ConfigError,
    document::{element, given, uri_problem},
    section::Section,
};

/// The provider at which users log in.
#[derive(Debug)]
pub(crate) struct ProviderSettings {
    pub(crate) known: KnownProvider,
    pub(crate) endpoints: EndpointSettings,
    /// Its error codes for a grant that has ended.
    pub(crate) dead_grant_errors: Vec<String>,
}

/// A provider, before discovery.
#[derive(Debug)]
pub(crate) enum KnownProvider {
    /// A provider whose endpoints are known.
    All(Box<Provider>),
    /// The issuer, whose metadata has the endpoints.
    Issuer(Issuer),
}

impl ProviderSettings {
    /// Returns the issuer of the users who log in there.
    pub(crate) const fn issuer(&self) -> &Issuer {
        match &self.known {
            KnownProvider::All(provider) => provider.issuer(),
            KnownProvider::Issuer(issuer) => issuer,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct EndpointSettings {
    pub(crate) authorize: Option<Uri>,
    pub(crate) token: Option<Uri>,
    pub(crate) userinfo: Option<Uri>,
    pub(crate) revocation: Option<Uri>,
    pub(crate) introspection: Option<Uri>,
    pub(crate) jwks: Option<Uri>,
}

/// Validates the keys of `table` about the provider.
pub(super) fn validate(section: &Section<'_>, table: &mut Bridge) -> Result<ProviderSettings, ConfigError> {
    let endpoints = endpoints(section, std::mem::take(&mut table.endpoints))?;
    let issuer = given(table.issuer.take()).map(|text| section.issuer("issuer", &text)).transpose()?;
    let all = |provider| KnownProvider::All(Box::new(provider));
    let known = match (known(section, table)?, issuer) {
        // Another server than the vendor's has other keys. Without its key set, ID tokens cannot be verified, and the profile names
        // the user.
        (Some(provider), None) if endpoints.token.is_some() && endpoints.jwks.is_none() => {
            all(provider.without_id_tokens())
        }
        (Some(provider), None) => all(provider),
        (Some(provider), Some(issuer)) => all(provider.with_issuer(issuer)),
        (None, Some(issuer)) => named(issuer, &endpoints),
        (None, None) => return Err(section.error("issuer", "is missing: it identifies the OpenID provider")),
    };
    let dead_grant_errors = dead_grant_errors(section, std::mem::take(&mut table.dead_grant_errors))?;
    Ok(ProviderSettings { known, endpoints, dead_grant_errors })
}

/// Errors about this server or an outage. They must not end a grant.
const NOT_GRANT_ERRORS: [&str; 3] = ["invalid_client", "temporarily_unavailable", "server_error"];

fn dead_grant_errors(section: &Section<'_>, errors: Vec<String>) -> Result<Vec<String>, ConfigError> {
    for (index, error) in errors.iter().enumerate() {
        let problem = match &**error {
            "" => "must not be empty",
            error if NOT_GRANT_ERRORS.contains(&error) => "is about this server or an outage, and must not end a grant",
            _ => continue,
        };
        return Err(section.error(&element("dead_grant_errors", index), problem));
    }
    Ok(errors)
}

/// Returns the provider, unless it is a generic OpenID provider.
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
            // This also checks that the egress configuration permits it.
            section.issuer("server_url", &server_url)?;
            Provider::keycloak(&server_url, &realm).map_err(invalid("realm"))?
        }
    }))
}

/// Returns an OpenID provider, which needs discovery unless the configuration has its authorization and token endpoints.
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

/// The parameters that the bridge sets itself. A repeated parameter is invalid (RFC 6749 section 3.1).
const RESERVED: [&str; 11] = [
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// Adds the parameters to `config`, each written as `name=value`.
pub(super) fn add_parameters(
    mut config: BridgeConfig,
    section: &Section<'_>,
    provider: ProviderName,
    scopes: &ScopeSet,
    written: &[String],
) -> Result<BridgeConfig, ConfigError> {
    let mut says_prompt = false;
    for (index, parameter) in written.iter().enumerate() {
        let error = |problem| section.error(&element("parameters", index), problem);
        let (name, value) =
            parameter.split_once('=').ok_or_else(|| error("must be a name, an equals sign and a value"))?;
        if RESERVED.contains(&name) {
            return Err(error("is a parameter that the bridge sets itself"));
        }
        says_prompt |= name == "prompt";
        // A parameter without a value is omitted. This removes the default `prompt` too.
        if !value.is_empty() {
            config = config.with_upstream_parameter(name, value);
        }
    }
    // OpenID Connect Core section 11: without it a provider has to ignore `offline_access`, and some do.
    let wants_consent = provider == ProviderName::Oidc && scopes.contains("offline_access") && !says_prompt;
    Ok(if wants_consent { config.with_upstream_parameter("prompt", "consent") } else { config })
}
