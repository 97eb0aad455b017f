//! The rules of the section `bridge`.

use std::time::Duration;

use http::{HeaderName, Uri};
use portcullis::bridge::{AccessTokenKind, Branding, BridgeConfig, ClientMetadataDocumentPolicy, RedirectUri};
use portcullis::bridge::{RegistrationPolicy, SigningKeys, UpstreamRevocation};
use portcullis::{Issuer, ResourceUri, ScopeSet, oauth::ClientAuthentication, store::read_secret_file};
use secrecy::SecretString;

use super::{
    clients, entitlement, provider,
    provider::ProviderSettings,
    table::{
        AccessTokens, AuthMethod, BrandingTable, Bridge, Documents, ProviderName, Registration, ScopeDescription,
        TrustedIssuer,
    },
};
use crate::config::{
    ConfigError,
    document::{duration, element, given, uri_problem},
    section::Section,
};

/// The section `bridge`, validated.
#[derive(Debug)]
pub(crate) struct BridgeSettings {
    pub(crate) config: BridgeConfig,
    pub(crate) provider: ProviderSettings,
    /// The scopes that are requested there.
    pub(crate) upstream_scopes: ScopeSet,
    /// The credentials of this server there.
    pub(crate) client: ClientAuthentication,
    /// How long users are accepted while the provider is unavailable.
    pub(crate) outage_grace: Duration,
    /// The issuers of accepted assertions. They are added to `config` with their key sets when the server starts.
    pub(crate) trusted_issuers: Vec<TrustedIssuerSettings>,
}

/// An identity provider of an enterprise.
#[derive(Debug)]
pub(crate) struct TrustedIssuerSettings {
    pub(crate) issuer: Issuer,
    pub(crate) jwks_uri: Option<Uri>,
}

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
    let issuers = entitlement::KnownIssuers {
        provider: provider.issuer(),
        trusted: trusted_issuers.iter().map(|trusted| &trusted.issuer).collect(),
    };
    let upstream_scopes = section.scopes("scopes", &table.scopes)?;
    let config = config(section, table, resource, required_scopes, &issuers)?;
    Ok(BridgeSettings { config, provider, upstream_scopes, client, outage_grace, trusted_issuers })
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

/// Returns the configuration of the bridge.
fn config(
    section: &Section<'_>,
    table: Bridge,
    resource: ResourceUri,
    required_scopes: &ScopeSet,
    issuers: &entitlement::KnownIssuers<'_>,
) -> Result<BridgeConfig, ConfigError> {
    let issuer = Issuer::new(resource.as_str().strip_suffix("/mcp").unwrap_or_else(|| resource.origin()))
        .map_err(|error| section.document.error("public_url", uri_problem(&error)))?;
    let scopes = required_scopes.union(&section.scopes("scopes_supported", &table.scopes_supported)?);
    let upstream_scopes = section.scopes("scopes", &table.scopes)?;
    let period = |key, text| duration(section.document, &section.path(key), text);
    let own = resource.clone();
    let config = BridgeConfig::new(issuer, resource)
        .with_scopes(scopes.clone())
        // A client requests further scopes when it receives a challenge.
        .with_default_scopes(required_scopes.clone())
        .with_upstream_scopes(upstream_scopes.clone())
        .with_required_upstream_scopes(section.scopes("required_upstream_scopes", &table.required_upstream_scopes)?)
        .with_scope_policy(entitlement::validate_all(section, table.entitlements, &scopes, issuers)?)
        .with_access_tokens(access_tokens(section, table.access_tokens, &table.signing_key_files)?)
        .with_access_token_ttl(lifetime(section, "access_token_ttl", &table.access_token_ttl)?)
        .with_refresh_token_ttl(lifetime(section, "refresh_token_ttl", &table.refresh_token_ttl)?)
        .with_max_session_age(lifetime(section, "max_session_age", &table.max_session_age)?)
        .with_rotation_grace(period("rotation_grace", &table.rotation_grace)?)
        .with_consent_ttl(period("consent_ttl", &table.consent_ttl)?)
        .with_documents(documents(&table.documents, section.egress.allow_loopback_for_clients))
        .with_registration(registration(section, table.registration)?)
        .with_branding(branding(section, table.branding, &table.scope_descriptions, &scopes)?)
        .with_http_redirect_hosts(http_redirect_hosts(section, &table.http_redirect_hosts)?);
    let config = match table.revoke_upstream {
        Some(true) => config.with_upstream_revocation(UpstreamRevocation::Enabled),
        Some(false) => config.with_upstream_revocation(UpstreamRevocation::Disabled),
        None => config,
    };
    let config = match address_header(section, table.client_address_header)? {
        Some(header) => config.with_client_address_header(header),
        None => config,
    };
    let config = provider::add_parameters(config, section, table.provider, &upstream_scopes, &table.parameters)?;
    let config = clients::add_resource_servers(config, section, &own, table.resource_servers)?;
    clients::add_clients(config, section, table.clients, &scopes, &table.http_redirect_hosts)
}

fn documents(table: &Documents, allows_loopback: bool) -> ClientMetadataDocumentPolicy {
    let policy = match (table.enabled, &table.hosts[..]) {
        (false, _) => return ClientMetadataDocumentPolicy::disabled(),
        (true, []) => ClientMetadataDocumentPolicy::new(),
        (true, allowed) => ClientMetadataDocumentPolicy::new().with_allowed_hosts(allowed.iter().map(String::as_str)),
    };
    let policy = policy.with_trusted_hosts(table.trusted_hosts.iter().map(String::as_str));
    if allows_loopback { policy.with_loopback_allowed() } else { policy }
}

/// Returns the client authentication of this server at the provider.
fn authentication(section: &Section<'_>, table: &mut Bridge) -> Result<ClientAuthentication, ConfigError> {
    let key = "token_endpoint_auth_method";
    let follows_standards = matches!(
        table.provider,
        ProviderName::Oidc | ProviderName::Oauth2 | ProviderName::Keycloak | ProviderName::Entra | ProviderName::Okta
    );
    if table.token_endpoint_auth_method != AuthMethod::ClientSecretBasic && !follows_standards {
        return Err(
            section.error(key, "is for oidc, oauth2, keycloak, entra and okta; the other vendors have fixed methods")
        );
    }
    let secret = section.secret("client_secret", table.client_secret.take(), table.client_secret_file.take())?;
    let method = table.token_endpoint_auth_method;
    let secret = secret.or_else(|| (method == AuthMethod::None).then(SecretString::default));
    let why = "this server is a client of the provider";
    let credentials = section.credentials(table.client_id.take(), secret, why)?;
    Ok(match method {
        AuthMethod::ClientSecretBasic => credentials.client(),
        AuthMethod::ClientSecretPost => ClientAuthentication::post(&credentials.client_id, credentials.client_secret),
        AuthMethod::None => ClientAuthentication::public(&credentials.client_id),
    })
}

/// Parses a lifetime. The lifetimes of sessions are whole seconds.
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

fn branding(
    section: &Section<'_>,
    table: BrandingTable,
    descriptions: &[ScopeDescription],
    supported: &ScopeSet,
) -> Result<Branding, ConfigError> {
    let mut branding = Branding::new();
    for (index, ScopeDescription { scope, description }) in descriptions.iter().enumerate() {
        if !supported.contains(scope) {
            let entry = section.below(&element("scope_descriptions", index));
            return Err(entry.error("scope", format!("is {scope:?}, which is not among `scopes_supported`")));
        }
        branding = branding.with_scope_description(scope, description);
    }
    let section = section.below("branding");
    if let Some(color) = given(table.color) {
        branding = branding.with_color(&color).map_err(|invalid| section.error("color", invalid.to_string()))?;
    }
    if let Some(file) = given(table.logo_file) {
        let error = |problem: String| section.error("logo_file", format!("cannot be used: {file}: {problem}"));
        let image = std::fs::read(&file).map_err(|problem| error(problem.to_string()))?;
        branding = branding.with_logo(&image).map_err(|invalid| error(invalid.to_string()))?;
    }
    Ok(branding)
}

/// Checks that each is a host as it appears in a redirect URI.
fn http_redirect_hosts<'a>(
    section: &Section<'_>,
    hosts: &'a [String],
) -> Result<impl Iterator<Item = &'a str>, ConfigError> {
    for (index, host) in hosts.iter().enumerate() {
        if RedirectUri::with_http_hosts(&format!("http://{host}/"), hosts).is_err() {
            let problem = "must be a host without scheme, port and path, such as \"host.docker.internal\"";
            return Err(section.error(&element("http_redirect_hosts", index), problem));
        }
    }
    Ok(hosts.iter().map(String::as_str))
}

fn address_header(section: &Section<'_>, name: Option<String>) -> Result<Option<HeaderName>, ConfigError> {
    let key = "client_address_header";
    let parse = |name: String| name.parse().map_err(|_| section.error(key, "is not a header name"));
    given(name).map(parse).transpose()
}

/// Validates the form of access tokens, and reads the keys that sign them.
fn access_tokens(section: &Section<'_>, form: AccessTokens, files: &[String]) -> Result<AccessTokenKind, ConfigError> {
    match form {
        AccessTokens::Reference if files.is_empty() => Ok(AccessTokenKind::Reference),
        AccessTokens::Reference => {
            Err(section.error("signing_key_files", "is for access_tokens = \"jwt\"; reference tokens are not signed"))
        }
        AccessTokens::Jwt => {
            let keys = signing_keys(section, files)?;
            Ok(keys.map_or(AccessTokenKind::JwtWithStoredKeys, AccessTokenKind::Jwt))
        }
    }
}

fn signing_keys(section: &Section<'_>, files: &[String]) -> Result<Option<SigningKeys>, ConfigError> {
    let mut keys: Option<SigningKeys> = None;
    for (index, file) in files.iter().enumerate() {
        let error =
            |problem: String| section.error(&element("signing_key_files", index), format!("cannot be used: {problem}"));
        let pem = read_secret_file(file).map_err(|unusable| error(unusable.to_string()))?;
        let more = match keys {
            None => SigningKeys::new(&pem),
            Some(keys) => keys.with_key(&pem),
        };
        keys = Some(more.map_err(|invalid| error(format!("{file}: {invalid}")))?);
    }
    Ok(keys)
}
