//! The section `bridge` as it is written.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Bridge {
    /// Where users log in.
    pub(crate) provider: ProviderName,
    /// oidc: the issuer identifier, exactly as the provider writes it. Others: if it is not the vendor's own, for test servers.
    pub(crate) issuer: Option<String>,
    /// keycloak: its URL, without the realm.
    pub(crate) server_url: Option<String>,
    /// keycloak: the realm.
    pub(crate) realm: Option<String>,
    /// salesforce: where users log in, also a sandbox or a My Domain; github: an Enterprise Server.
    pub(crate) host: Option<String>,
    /// Our name at the provider.
    pub(crate) client_id: Option<String>,
    /// Our secret there.
    #[schemars(with = "Option<String>")]
    pub(crate) client_secret: Option<SecretString>,
    /// A file with our secret, instead of `client_secret`.
    pub(crate) client_secret_file: Option<String>,
    /// oidc and keycloak: how our secret is presented; the other vendors have ways of their own. "none": there is no secret.
    pub(crate) token_endpoint_auth_method: AuthMethod,
    /// What users are asked for at the provider.
    pub(crate) scopes: Vec<String>,
    /// What else the provider is told when a user is sent there, such as "prompt=select_account".
    pub(crate) parameters: Vec<String>,
    /// What users must have allowed at the provider, or the login fails.
    pub(crate) required_upstream_scopes: Vec<String>,
    /// What the provider's token endpoint says of a grant that has ended, in words of its own, such as "BAD_REFRESH_TOKEN".
    pub(crate) dead_grant_errors: Vec<String>,
    /// For how long after the provider last confirmed a user, the user goes on while the provider cannot be asked; "0s": not at all.
    pub(crate) outage_grace: String,
    /// The scopes of our own tokens, beside `required_scopes`. A client that asks for none gets `required_scopes`.
    pub(crate) scopes_supported: Vec<String>,
    /// The form of our access tokens.
    pub(crate) access_tokens: AccessTokens,
    /// Files with the private keys that sign JWTs, PKCS#8 as PEM: the first signs, all are published. Default: one that is gone with
    /// the process.
    pub(crate) signing_key_files: Vec<String>,
    /// How long an access token lives.
    pub(crate) access_token_ttl: String,
    /// How long a refresh token lives that is not used.
    pub(crate) refresh_token_ttl: String,
    /// For how long a client that repeats a refresh gets the same answer; after that the session ends.
    pub(crate) rotation_grace: String,
    /// After which users log in again, however often tokens were refreshed.
    pub(crate) max_session_age: String,
    /// For how long a consent is remembered; "0s": it is asked for at every login.
    pub(crate) consent_ttl: String,
    /// Whether the provider is told when a session ends. Default: unless that would end other logins of the user there.
    pub(crate) revoke_upstream: Option<bool>,
    /// The header in which the proxy in front of this server says where requests come from. Never set it without such a proxy.
    pub(crate) client_address_header: Option<String>,
    /// Endpoints of the provider, where they are not those of the vendor or of its metadata.
    pub(crate) endpoints: Endpoints,
    /// Clients that describe themselves by a document at their own URL.
    pub(crate) documents: Documents,
    /// Clients that register themselves.
    pub(crate) registration: Registration,
    /// Clients that the operator knows.
    pub(crate) clients: Vec<Client>,
    /// Who may have which of our scopes. A scope that is not named here is for everybody.
    pub(crate) entitlements: Vec<Entitlement>,
    /// Resource servers elsewhere, which may ask about tokens.
    pub(crate) resource_servers: Vec<ResourceServer>,
    /// Identity providers of enterprises, whose assertions (ID-JAG) are good for tokens.
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
            client_id: None,
            client_secret: None,
            client_secret_file: None,
            token_endpoint_auth_method: AuthMethod::ClientSecretBasic,
            scopes: Vec::new(),
            parameters: Vec::new(),
            required_upstream_scopes: Vec::new(),
            dead_grant_errors: Vec::new(),
            outage_grace: "24h".to_owned(),
            scopes_supported: vec!["mcp:admin".to_owned()],
            access_tokens: AccessTokens::Reference,
            signing_key_files: Vec::new(),
            access_token_ttl: "10m".to_owned(),
            refresh_token_ttl: "30d".to_owned(),
            rotation_grace: "2m".to_owned(),
            max_session_age: "90d".to_owned(),
            consent_ttl: "30d".to_owned(),
            revoke_upstream: None,
            client_address_header: None,
            endpoints: Endpoints::default(),
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
    /// Where users log in.
    pub(crate) authorize: Option<String>,
    /// Where codes and refresh tokens become tokens.
    pub(crate) token: Option<String>,
    /// Where it is said who a user is.
    pub(crate) userinfo: Option<String>,
    /// Where tokens are taken back.
    pub(crate) revocation: Option<String>,
    /// Where it is said what a token is.
    pub(crate) introspection: Option<String>,
    /// Where the keys of ID tokens are.
    pub(crate) jwks: Option<String>,
}

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Documents {
    /// Whether they are let in.
    pub(crate) enabled: bool,
    /// The hosts of such documents; empty: every one.
    pub(crate) hosts: Vec<String>,
    /// Hosts whose clients may be sent errors without a page in between.
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
    /// Whether they are let in.
    pub(crate) enabled: bool,
    /// A token that they must present. Default: anybody may register.
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
pub(crate) struct Client {
    /// Its name in requests.
    pub(crate) client_id: String,
    /// What users are told that it is called. Default: `client_id`.
    pub(crate) name: Option<String>,
    /// Where its users may be sent back to.
    #[serde(default)]
    pub(crate) redirect_uris: Vec<String>,
    /// What it may present at the token endpoint. Default: codes and refresh tokens.
    #[serde(default = "codes_and_refresh_tokens")]
    pub(crate) grant_types: Vec<GrantType>,
    /// Its secret. Default: it has none, as an app on the user's machine.
    #[schemars(with = "Option<String>")]
    pub(crate) client_secret: Option<SecretString>,
    /// A file with its secret, instead of `client_secret`.
    pub(crate) client_secret_file: Option<String>,
    /// All that it may ever ask for; empty: whatever there is.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
}

#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GrantType {
    AuthorizationCode,
    RefreshToken,
    #[serde(rename = "urn:ietf:params:oauth:grant-type:jwt-bearer")]
    JwtBearer,
}

fn codes_and_refresh_tokens() -> Vec<GrantType> {
    vec![GrantType::AuthorizationCode, GrantType::RefreshToken]
}

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entitlement {
    /// The scope.
    pub(crate) scope: String,
    /// Whose users are meant: the provider's issuer, which is the default, or one of `trusted_issuers`.
    pub(crate) issuer: Option<String>,
    /// Users that may have it, as that issuer calls them: `sub`, never an e-mail address.
    #[serde(default)]
    pub(crate) subjects: Vec<String>,
    /// A claim of the users that may have it, such as "groups" or "realm_access.roles".
    pub(crate) claim: Option<String>,
    /// What that claim must be, or contain one of.
    #[serde(default)]
    pub(crate) values: Vec<String>,
}

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResourceServer {
    /// Its name in requests.
    pub(crate) client_id: String,
    /// Its secret.
    #[schemars(with = "Option<String>")]
    pub(crate) client_secret: Option<SecretString>,
    /// A file with its secret, instead of `client_secret`.
    pub(crate) client_secret_file: Option<String>,
    /// The resource about whose tokens it may ask. Default: this server's.
    pub(crate) resource: Option<String>,
}

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustedIssuer {
    /// The issuer identifier, exactly as the identity provider writes it.
    pub(crate) issuer: String,
    /// Where its keys are. Default: as its metadata says.
    pub(crate) jwks_uri: Option<String>,
}
