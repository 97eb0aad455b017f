//! The provider of the section `bridge`: its endpoints, and the parameters of authorization requests.

use http::Uri;
use portcullis::{
    Issuer, ScopeSet,
    bridge::BridgeConfig,
    oauth::providers::{
        Endpoints as ProviderEndpoints, InvalidPlace, Place, ProfileSource, Provider, ReadyMade, Vendor,
    },
    types::InvalidUri,
};

use super::{
    oauth2::{VendorChanges, validate_dead_grant_errors},
    table::{Bridge, Endpoints, ProviderName},
};
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
    /// What it does differently.
    pub(crate) changes: VendorChanges,
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

#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointSettings {
    pub(crate) authorize: Option<Uri>,
    pub(crate) token: Option<Uri>,
    pub(crate) refresh: Option<Uri>,
    pub(crate) userinfo: Option<Uri>,
    pub(crate) revocation: Option<Uri>,
    pub(crate) introspection: Option<Uri>,
    pub(crate) jwks: Option<Uri>,
}

/// Validates the keys of `table` about the provider.
pub(super) fn validate(section: &Section<'_>, table: &mut Bridge) -> Result<ProviderSettings, ConfigError> {
    let endpoints = endpoints(section, std::mem::take(&mut table.endpoints))?;
    let issuer = given(table.issuer.take()).map(|text| section.issuer("issuer", &text)).transpose()?;
    validate_dead_grant_errors(section, "dead_grant_errors", &table.dead_grant_errors)?;
    let mut oauth2 = std::mem::take(&mut table.oauth2);
    oauth2.errors.login.append(&mut table.dead_grant_errors);
    let changes = oauth2.validate(&section.below("oauth2"))?;
    let all = |provider| KnownProvider::All(Box::new(provider));
    let known = match (known(section, table, &endpoints, issuer.as_ref())?, issuer) {
        // Another server than the vendor's has other keys. Without its key set, ID tokens cannot be verified, and the profile names
        // the user.
        (Some(provider), None) if endpoints.token.is_some() && endpoints.jwks.is_none() => {
            let needs_id_tokens = changed(provider.vendor().clone(), &changes).profile == ProfileSource::IdToken;
            all(if needs_id_tokens { provider } else { provider.without_id_tokens() })
        }
        (Some(provider), None) => all(provider),
        (Some(provider), Some(issuer)) => all(provider.with_issuer(issuer)),
        (None, Some(issuer)) => named(issuer, &endpoints),
        (None, None) => return Err(section.error("issuer", "is missing: it identifies the OpenID provider")),
    };
    let vendor = match &known {
        KnownProvider::All(provider) => changed(provider.vendor().clone(), &changes),
        KnownProvider::Issuer(_) => changed(Vendor::standard(), &changes),
    };
    check_profile(section, table, &vendor, &endpoints, &changes)?;
    Ok(ProviderSettings { known, endpoints, changes })
}

fn changed(mut vendor: Vendor, changes: &VendorChanges) -> Vendor {
    changes.apply(&mut vendor);
    vendor
}

/// Checks that the profile can be had, and that it names the user.
fn check_profile(
    section: &Section<'_>,
    table: &Bridge,
    vendor: &Vendor,
    endpoints: &EndpointSettings,
    changes: &VendorChanges,
) -> Result<(), ConfigError> {
    let is_generic = table.provider == ProviderName::Oauth2;
    match vendor.profile {
        ProfileSource::IdToken if !table.scopes.iter().any(|scope| scope == "openid") => {
            Err(section.error("scopes", "must contain \"openid\": the profile is in the ID token"))
        }
        ProfileSource::UserInfo if is_generic && endpoints.userinfo.is_none() => {
            Err(section.error("endpoints.userinfo", "is missing: `oauth2.profile` is \"userinfo\""))
        }
        _ if is_generic && !changes.has_subject() => {
            Err(section.error("oauth2.subject", "is missing: it is the path of the member that identifies the user"))
        }
        _ => Ok(()),
    }
}

/// Returns the provider, unless it is a generic OpenID provider.
fn known(
    section: &Section<'_>,
    table: &mut Bridge,
    endpoints: &EndpointSettings,
    issuer: Option<&Issuer>,
) -> Result<Option<Provider>, ConfigError> {
    let host = given(table.host.take());
    if let Some(row) = table.provider.ready_made().and_then(ReadyMade::named) {
        let (key, place) = match row.place() {
            Place::Tenant => ("tenant", given(table.tenant.take())),
            _ => ("host", host),
        };
        let invalid = |error: InvalidPlace| section.error(key, error.to_string());
        return row.provider(place.as_deref()).map(Some).map_err(invalid);
    }
    let invalid = |key: &'static str| move |error: InvalidUri| section.error(key, uri_problem(&error));
    Ok(Some(match table.provider {
        ProviderName::Oauth2 => generic(section, endpoints, issuer)?,
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
        // The others are in the table.
        _ => return Ok(None),
    }))
}

/// Returns a provider of which the configuration says everything. Its users are those of the configured issuer, else of the origin of the
/// authorization endpoint.
fn generic(
    section: &Section<'_>,
    endpoints: &EndpointSettings,
    issuer: Option<&Issuer>,
) -> Result<Provider, ConfigError> {
    let missing = |key: &str| section.error(key, "is missing: a provider of the kind \"oauth2\" has no metadata");
    let authorize = endpoints.authorize.as_ref().ok_or_else(|| missing("endpoints.authorize"))?;
    let token = endpoints.token.as_ref().ok_or_else(|| missing("endpoints.token"))?;
    let issuer = match issuer {
        Some(issuer) => issuer.clone(),
        None => origin(authorize).map_err(|error| section.error("endpoints.authorize", uri_problem(&error)))?,
    };
    let mut vendor = Vendor::standard();
    vendor.name = "oauth2";
    vendor.id_tokens = false;
    if let Some(row) = authorize.host().and_then(ReadyMade::of_host) {
        vendor.shared_members = row.vendor().shared_members;
    }
    Ok(Provider::of_vendor(vendor, issuer, ProviderEndpoints::new(authorize.clone(), token.clone())))
}

/// Returns the origin of `url` as an issuer.
fn origin(url: &Uri) -> Result<Issuer, InvalidUri> {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    Issuer::new(&format!("{}://{authority}", url.scheme_str().unwrap_or("https")))
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
        refresh: section.url("refresh", table.refresh)?,
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
