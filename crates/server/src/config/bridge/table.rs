//! The section `bridge` as written.

use portcullis::{BridgedServer, bridge::BridgeConfig};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    clients::{ClientTable, ResourceServer},
    entitlement::Entitlement,
    oauth2::OAuth2,
};
use crate::config::document::duration_text;

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Bridge {
    /// The provider at which users log in.
    pub(crate) provider: ProviderName,
    /// oidc: the issuer identifier, exactly as the provider writes it. oauth2: whose users they are; default: the origin of the authorization
    /// endpoint. Other vendors: for test servers with another issuer.
    pub(crate) issuer: Option<String>,
    /// keycloak: its URL, without the realm.
    pub(crate) server_url: Option<String>,
    /// keycloak: the realm.
    pub(crate) realm: Option<String>,
    /// salesforce: where users log in, also a sandbox or a My Domain; github: an Enterprise Server; gitlab: an own server; okta and auth0:
    /// the host of the organization.
    pub(crate) host: Option<String>,
    /// entra: the identifier of the tenant, a UUID.
    pub(crate) tenant: Option<String>,
    /// The client ID of this server at the provider.
    pub(crate) client_id: Option<String>,
    /// The client secret of this server there.
    #[schemars(with = "Option<String>")]
    pub(crate) client_secret: Option<SecretString>,
    /// A file with the client secret, instead of `client_secret`.
    pub(crate) client_secret_file: Option<String>,
    /// oidc, oauth2, keycloak, entra and okta: the client authentication method; the other vendors have fixed methods. "none": a client
    /// without secret.
    pub(crate) token_endpoint_auth_method: AuthMethod,
    /// The scopes requested at the provider.
    pub(crate) scopes: Vec<String>,
    /// Additional parameters of authorization requests to the provider, such as "prompt=select_account".
    pub(crate) parameters: Vec<String>,
    /// The scopes that users must grant at the provider; otherwise the login fails.
    pub(crate) required_upstream_scopes: Vec<String>,
    /// Vendor-specific error codes by which the provider's token endpoint reports that a grant has ended, such as "BAD_REFRESH_TOKEN".
    pub(crate) dead_grant_errors: Vec<String>,
    /// How long after the provider last confirmed a user the server accepts the user while the provider is unavailable; "0s": not at all.
    pub(crate) outage_grace: String,
    /// The scopes of the bridge's tokens, in addition to `required_scopes`. A client that requests none gets `required_scopes`.
    pub(crate) scopes_supported: Vec<String>,
    /// The format of the bridge's access tokens.
    pub(crate) access_tokens: AccessTokens,
    /// Files with the private keys that sign JWTs, PKCS#8 as PEM: the first signs, all are published. Default: keys that the
    /// server generates, stores and replaces.
    pub(crate) signing_key_files: Vec<String>,
    /// The lifetime of an access token.
    pub(crate) access_token_ttl: String,
    /// The lifetime of an unused refresh token.
    pub(crate) refresh_token_ttl: String,
    /// How long a repeated refresh gets the same response; after that, a repetition ends the session.
    pub(crate) rotation_grace: String,
    /// The time after which users log in again, regardless of refreshes.
    pub(crate) max_session_age: String,
    /// How long a consent is stored; "0s": every login asks for it.
    pub(crate) consent_ttl: String,
    /// Whether the upstream token is revoked when a session ends. Default: true, unless that would end other logins of the user.
    pub(crate) revoke_upstream: Option<bool>,
    /// Hosts that redirect URIs of clients may have with `http`, such as "host.docker.internal": clients in the operator's own network.
    pub(crate) http_redirect_hosts: Vec<String>,
    /// The header in which the proxy in front of this server sends the client address. Do not set it without such a proxy.
    pub(crate) client_address_header: Option<String>,
    /// Endpoints of the provider that differ from those of the vendor or its metadata.
    pub(crate) endpoints: Endpoints,
    /// What the provider does differently from the standards, or from what is known of its vendor.
    pub(crate) oauth2: OAuth2,
    /// How the pages show this server to users.
    pub(crate) branding: BrandingTable,
    /// The descriptions of scopes on the consent page.
    pub(crate) scope_descriptions: Vec<ScopeDescription>,
    /// Clients that describe themselves by a document at their own URL.
    pub(crate) documents: Documents,
    /// Clients that register themselves.
    pub(crate) registration: Registration,
    /// Preregistered clients.
    pub(crate) clients: Vec<ClientTable>,
    /// The users who may have a scope. A scope that is not listed is available to every user.
    pub(crate) entitlements: Vec<Entitlement>,
    /// Other resource servers, which may introspect tokens.
    pub(crate) resource_servers: Vec<ResourceServer>,
    /// Identity providers of enterprises, whose assertions (ID-JAG) are exchanged for tokens.
    pub(crate) trusted_issuers: Vec<TrustedIssuer>,
}

impl Default for Bridge {
    fn default() -> Self {
        Self {
            provider: ProviderName::Oidc,
            issuer: None,
            server_url: None,
            realm: None,
            host: None,
            tenant: None,
            client_id: None,
            client_secret: None,
            client_secret_file: None,
            token_endpoint_auth_method: AuthMethod::ClientSecretBasic,
            scopes: Vec::new(),
            parameters: Vec::new(),
            required_upstream_scopes: Vec::new(),
            dead_grant_errors: Vec::new(),
            outage_grace: duration_text(BridgedServer::DEFAULT_OUTAGE_GRACE),
            scopes_supported: vec!["mcp:admin".to_owned()],
            access_tokens: AccessTokens::Reference,
            signing_key_files: Vec::new(),
            access_token_ttl: duration_text(BridgeConfig::DEFAULT_ACCESS_TOKEN_TTL),
            refresh_token_ttl: duration_text(BridgeConfig::DEFAULT_REFRESH_TOKEN_TTL),
            rotation_grace: duration_text(BridgeConfig::DEFAULT_ROTATION_GRACE),
            max_session_age: duration_text(BridgeConfig::DEFAULT_MAX_SESSION_AGE),
            consent_ttl: duration_text(BridgeConfig::DEFAULT_CONSENT_TTL),
            revoke_upstream: None,
            http_redirect_hosts: Vec::new(),
            client_address_header: None,
            endpoints: Endpoints::default(),
            oauth2: OAuth2::default(),
            branding: BrandingTable::default(),
            scope_descriptions: Vec::new(),
            documents: Documents::default(),
            registration: Registration::default(),
            clients: Vec::new(),
            entitlements: Vec::new(),
            resource_servers: Vec::new(),
            trusted_issuers: Vec::new(),
        }
    }
}

#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProviderName {
    Oidc,
    Keycloak,
    Google,
    Github,
    Atlassian,
    Salesforce,
    Oauth2,
    Entra,
    Okta,
    Auth0,
    Gitlab,
    Slack,
    Notion,
    Linear,
    Hubspot,
    Figma,
    Asana,
    Zoom,
    Discord,
    Box,
    Dropbox,
}

impl ProviderName {
    /// Returns the name of a provider in the table of ready-made providers; `None` for another one.
    pub(crate) const fn ready_made(self) -> Option<&'static str> {
        Some(match self {
            Self::Oidc
            | Self::Keycloak
            | Self::Google
            | Self::Github
            | Self::Atlassian
            | Self::Salesforce
            | Self::Oauth2 => return None,
            Self::Entra => "entra",
            Self::Okta => "okta",
            Self::Auth0 => "auth0",
            Self::Gitlab => "gitlab",
            Self::Slack => "slack",
            Self::Notion => "notion",
            Self::Linear => "linear",
            Self::Hubspot => "hubspot",
            Self::Figma => "figma",
            Self::Asana => "asana",
            Self::Zoom => "zoom",
            Self::Discord => "discord",
            Self::Box => "box",
            Self::Dropbox => "dropbox",
        })
    }
}

#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthMethod {
    ClientSecretBasic,
    ClientSecretPost,
    None,
}

#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AccessTokens {
    Reference,
    Jwt,
}

#[derive(Deserialize, JsonSchema, Debug, Default)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Endpoints {
    /// The authorization endpoint.
    pub(crate) authorize: Option<String>,
    /// The token endpoint.
    pub(crate) token: Option<String>,
    /// The endpoint for refreshes. Default: the token endpoint.
    pub(crate) refresh: Option<String>,
    /// The UserInfo endpoint.
    pub(crate) userinfo: Option<String>,
    /// The revocation endpoint.
    pub(crate) revocation: Option<String>,
    /// The introspection endpoint.
    pub(crate) introspection: Option<String>,
    /// The key set of ID tokens.
    pub(crate) jwks: Option<String>,
}

#[derive(Deserialize, JsonSchema, Debug, Default)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BrandingTable {
    /// A file with a logo: PNG, JPEG, WebP or SVG, at most 64 KiB.
    pub(crate) logo_file: Option<String>,
    /// The colour of the main button and of the upper edge, such as "#7c3aed".
    pub(crate) color: Option<String>,
}

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScopeDescription {
    /// The scope.
    pub(crate) scope: String,
    /// What it permits, in the users' words.
    pub(crate) description: String,
}

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Documents {
    /// Whether such clients are accepted.
    pub(crate) enabled: bool,
    /// The permitted hosts of such documents; empty: every host.
    pub(crate) hosts: Vec<String>,
    /// Hosts to whose clients errors are redirected without a page in between.
    pub(crate) trusted_hosts: Vec<String>,
}

impl Default for Documents {
    fn default() -> Self {
        Self { enabled: true, hosts: Vec::new(), trusted_hosts: Vec::new() }
    }
}

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Registration {
    /// Whether such clients are accepted.
    pub(crate) enabled: bool,
    /// A token that clients must present to register. Default: none is required.
    #[schemars(with = "Option<String>")]
    pub(crate) initial_access_token: Option<SecretString>,
    /// A file with that token, instead of `initial_access_token`.
    pub(crate) initial_access_token_file: Option<String>,
}

impl Default for Registration {
    fn default() -> Self {
        Self { enabled: true, initial_access_token: None, initial_access_token_file: None }
    }
}

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustedIssuer {
    /// The issuer identifier, exactly as the identity provider writes it.
    pub(crate) issuer: String,
    /// The URL of its key set. Default: from its metadata.
    pub(crate) jwks_uri: Option<String>,
}
