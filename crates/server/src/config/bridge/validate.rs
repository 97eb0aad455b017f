//! The rules for the section `bridge` as a whole.

use std::time::Duration;

use http::HeaderName;
use portcullis::{
    Issuer, ResourceUri, ScopeSet,
    bridge::{BridgeConfig, ClientMetadataDocumentPolicy, RegistrationPolicy},
    oauth::ClientAuthentication,
};
use secrecy::SecretString;

use super::{
    BridgeSettings, client, entitlement, parameters, provider, resource_server,
    settings::TrustedIssuerSettings,
    signing,
    table::{AuthMethod, Bridge, Documents, ProviderName, Registration, TrustedIssuer},
};
use crate::config::{
    ConfigError,
    document::element,
    section::Section,
    validate::{duration, given, uri_problem},
};

/// Validates the section, for a bridge to `resource`, where every request needs `required_scopes`.
pub(in crate::config) fn validate(
    section: &Section<'_>,
    mut table: Bridge,
    resource: ResourceUri,
    required_scopes: &ScopeSet,
) -> Result<BridgeSettings, ConfigError> {
    let provider = provider::validate(section, &mut table)?;
    let client = authentication(section, &mut table)?;
    let trusted_issuers = trusted_issuers(section, std::mem::take(&mut table.trusted_issuers))?;
    let outage_grace = duration(section.document, &section.path("outage_grace"), &table.outage_grace)?;
    let issuers = entitlement::IssuerRouter { provider: provider.issuer(), trusted: &trusted_issuers };
    let config = config(section, table, resource, required_scopes, &issuers)?;
    Ok(BridgeSettings { config, provider, client, outage_grace, trusted_issuers })
}

fn trusted_issuers(
    section: &Section<'_>,
    tables: Vec<TrustedIssuer>,
) -> Result<Vec<TrustedIssuerSettings>, ConfigError> {
    let validate = |(index, table): (usize, TrustedIssuer)| {
        let entry = section.below(&element("trusted_issuers", index));
        let issuer = entry.issuer("issuer", &table.issuer)?;
        Ok(TrustedIssuerSettings { issuer, jwks_uri: entry.url("jwks_uri", table.jwks_uri)? })
    };
    tables.into_iter().enumerate().map(validate).collect()
}

/// What is issued, and to whom.
fn config(
    section: &Section<'_>,
    table: Bridge,
    resource: ResourceUri,
    required_scopes: &ScopeSet,
    issuers: &entitlement::IssuerRouter<'_>,
) -> Result<BridgeConfig, ConfigError> {
    let issuer =
        Issuer::new(resource.origin()).map_err(|error| section.document.error("public_url", uri_problem(&error)))?;
    let scopes = required_scopes.union(&section.scopes("scopes_supported", &table.scopes_supported)?);
    let upstream_scopes = section.scopes("scopes", &table.scopes)?;
    let period = |key, text| duration(section.document, &section.path(key), text);
    let own = resource.clone();
    let config = BridgeConfig::new(issuer, resource)
        .with_scopes(scopes.clone())
        // A client asks for more when it is refused.
        .with_default_scopes(required_scopes.clone())
        .with_upstream_scopes(upstream_scopes.clone())
        .with_required_upstream_scopes(section.scopes("required_upstream_scopes", &table.required_upstream_scopes)?)
        .with_scope_policy(entitlement::validate_all(section, table.entitlements, &scopes, issuers)?)
        .with_access_tokens(signing::validate(section, table.access_tokens, &table.signing_key_files)?)
        .with_access_token_ttl(lifetime(section, "access_token_ttl", &table.access_token_ttl)?)
        .with_refresh_token_ttl(lifetime(section, "refresh_token_ttl", &table.refresh_token_ttl)?)
        .with_max_session_age(lifetime(section, "max_session_age", &table.max_session_age)?)
        .with_rotation_grace(period("rotation_grace", &table.rotation_grace)?)
        .with_consent_ttl(period("consent_ttl", &table.consent_ttl)?)
        .with_documents(documents(&table.documents).with_allow_loopback(section.egress.allow_loopback_for_clients))
        .with_registration(registration(section, table.registration)?);
    let config = match table.revoke_upstream {
        Some(revokes) => config.with_upstream_revocation(revokes),
        None => config,
    };
    let config = match address_header(section, table.client_address_header)? {
        Some(header) => config.with_client_address_header(header),
        None => config,
    };
    let config = parameters::add_all(config, section, table.provider, &upstream_scopes, &table.parameters)?;
    let config = resource_server::add_all(config, section, &own, table.resource_servers)?;
    client::add_all(config, section, table.clients, &scopes)
}

fn documents(table: &Documents) -> ClientMetadataDocumentPolicy {
    let policy = match (table.enabled, &table.hosts[..]) {
        (false, _) => return ClientMetadataDocumentPolicy::disabled(),
        (true, []) => ClientMetadataDocumentPolicy::new(),
        (true, allowed) => ClientMetadataDocumentPolicy::new().with_allowed_hosts(allowed.iter().map(String::as_str)),
    };
    policy.with_trusted_hosts(table.trusted_hosts.iter().map(String::as_str))
}

/// How this server proves to the provider who it is.
fn authentication(section: &Section<'_>, table: &mut Bridge) -> Result<ClientAuthentication, ConfigError> {
    let key = "token_endpoint_auth_method";
    let follows_standards = matches!(table.provider, ProviderName::Oidc | ProviderName::Keycloak);
    if table.token_endpoint_auth_method != AuthMethod::ClientSecretBasic && !follows_standards {
        return Err(section.error(key, "is for oidc and keycloak; the other vendors have ways of their own"));
    }
    let secret = section.secret("client_secret", table.client_secret.take(), table.client_secret_file.take())?;
    let method = table.token_endpoint_auth_method;
    let secret = secret.or_else(|| (method == AuthMethod::None).then(SecretString::default));
    let why = "the provider gives codes and tokens to clients that it knows";
    let credentials = section.credentials(table.client_id.take(), secret, why)?;
    Ok(match method {
        AuthMethod::ClientSecretBasic => credentials.client(),
        AuthMethod::ClientSecretPost => ClientAuthentication::post(&credentials.client_id, credentials.client_secret),
        AuthMethod::None => ClientAuthentication::public(&credentials.client_id),
    })
}

/// Times of sessions are whole seconds.
fn lifetime(section: &Section<'_>, key: &str, text: &str) -> Result<Duration, ConfigError> {
    let lifetime = duration(section.document, &section.path(key), text)?;
    if lifetime < Duration::from_secs(1) {
        return Err(section.error(key, "must be at least 1s"));
    }
    Ok(lifetime)
}

fn registration(section: &Section<'_>, table: Registration) -> Result<RegistrationPolicy, ConfigError> {
    let section = section.below("registration");
    let token = section.secret("initial_access_token", table.initial_access_token, table.initial_access_token_file)?;
    Ok(match (table.enabled, token) {
        (false, _) => RegistrationPolicy::disabled(),
        (true, None) => RegistrationPolicy::new(),
        (true, Some(token)) => RegistrationPolicy::new().with_initial_access_token(&token),
    })
}

fn address_header(section: &Section<'_>, name: Option<String>) -> Result<Option<HeaderName>, ConfigError> {
    let key = "client_address_header";
    let parse = |name: String| name.parse().map_err(|_| section.error(key, "is no name of a header"));
    given(name).map(parse).transpose()
}
