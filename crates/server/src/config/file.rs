//! [`File`]: the configuration as it is written.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::{bridge::Bridge, connections::Connections, store::Store};

/// Configuration of the Portcullis example MCP server.
///
/// Every key may also be given as an environment variable: `PORTCULLIS__SECTION__KEY`, elements of lists by number.
/// Durations are written like "5m" or "1h 30s".
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct File {
    /// Address and port to listen on.
    pub(crate) listen: String,
    /// The origin clients use, without a path; the resource is this plus "/mcp". Default: http:// and `listen`, if that is a loopback address.
    pub(crate) public_url: Option<String>,
    /// Address and port of /healthz, /readyz and /metrics. Default: not served.
    pub(crate) admin_listen: Option<String>,
    /// The header in which a proxy in front of this server names the address of a client; of several addresses the last counts. Default: none,
    /// a client is the other end of its connection.
    pub(crate) client_address_header: Option<String>,
    /// The connections of clients.
    pub(crate) connections: Connections,
    /// Who issues the tokens: "resource-server" takes those of other authorization servers, "bridge" issues its own.
    pub(crate) mode: Mode,
    /// Scopes that every request needs.
    pub(crate) required_scopes: Vec<String>,
    /// Tokens of other authorization servers; for mode = "resource-server".
    pub(crate) resource_server: ResourceServer,
    /// Tokens of our own, and a login at a provider; for mode = "bridge".
    pub(crate) bridge: Bridge,
    /// What must not be lost; for mode = "bridge".
    pub(crate) store: Store,
    /// Remembering who a token stands for.
    pub(crate) cache: Cache,
    /// Requests that leave this server.
    pub(crate) egress: Egress,
}

impl Default for File {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8000".to_owned(),
            public_url: None,
            admin_listen: None,
            client_address_header: None,
            connections: Connections::default(),
            mode: Mode::ResourceServer,
            required_scopes: Vec::new(),
            resource_server: ResourceServer::default(),
            bridge: Bridge::default(),
            store: Store::default(),
            cache: Cache::default(),
            egress: Egress::default(),
        }
    }
}

#[derive(Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    ResourceServer,
    Bridge,
}

#[derive(Deserialize, JsonSchema, Debug, Default)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ResourceServer {
    /// The authorization servers whose tokens are accepted; at least one.
    pub(crate) issuers: Vec<IssuerTable>,
}

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuerTable {
    /// The issuer identifier, exactly as the authorization server writes it.
    pub(crate) issuer: String,
    /// How its tokens are verified.
    #[serde(default)]
    pub(crate) verify: Verify,
    /// The audience that its tokens must name. Default: the resource.
    pub(crate) audience: Option<String>,
    /// Our name at the authorization server; for introspection.
    pub(crate) client_id: Option<String>,
    /// Our secret there; for introspection.
    #[schemars(with = "Option<String>")]
    pub(crate) client_secret: Option<SecretString>,
    /// A file with our secret, instead of `client_secret`.
    pub(crate) client_secret_file: Option<String>,
    /// Signature algorithms that its tokens may use. Default: every asymmetric one.
    #[serde(default)]
    pub(crate) algorithms: Vec<String>,
    /// Values of `typ` that its tokens may have, beside "at+jwt"; "JWT" for issuers that do not follow RFC 9068.
    #[serde(default)]
    pub(crate) token_types: Vec<String>,
    /// The claim that names the user, for issuers whose tokens or introspection responses have no `sub`, such as "username".
    /// Default: "sub".
    pub(crate) subject_claim: Option<String>,
    /// Whether a token without `sub` is that of a client acting for itself, if no claim speaks of a user.
    #[serde(default)]
    pub(crate) allow_client_without_subject: bool,
    /// Where its keys are. Default: as its metadata says.
    pub(crate) jwks_uri: Option<String>,
    /// Where it introspects. Default: as its metadata says.
    pub(crate) introspection_endpoint: Option<String>,
    /// Where it says who a user is. Default: as its metadata says.
    pub(crate) userinfo_endpoint: Option<String>,
    /// Where GitHub says whether a token was issued to our app, `https://api.github.com/applications/{client_id}/token`;
    /// for "userinfo", instead of introspection.
    pub(crate) check_token_endpoint: Option<String>,
    /// Whether the user's profile is fetched from the UserInfo endpoint, once per token.
    #[serde(default)]
    pub(crate) enrich: bool,
}

#[derive(Deserialize, JsonSchema, Debug, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verify {
    #[default]
    Jwt,
    Introspection,
    Userinfo,
}

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cache {
    /// How long a user is remembered; never longer than the token lives.
    pub(crate) ttl: String,
    /// How many users are remembered.
    pub(crate) capacity: u64,
    /// How long a refused token is remembered.
    pub(crate) rejected_ttl: String,
    /// How much longer a user is remembered while the provider is down.
    pub(crate) stale_if_error: String,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            ttl: "5m".to_owned(),
            capacity: 100_000,
            rejected_ttl: "10s".to_owned(),
            stale_if_error: "0s".to_owned(),
        }
    }
}

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Egress {
    /// Whether providers on this machine may be called, also without TLS; for tests and the demo.
    pub(crate) allow_loopback: bool,
    /// Whether what clients name, their metadata documents and key sets, may be fetched from this machine, also without TLS; for
    /// tests only.
    pub(crate) allow_loopback_for_clients: bool,
    /// Private networks that may be called, such as "10.1.0.0/16".
    pub(crate) allowed_networks: Vec<String>,
    /// How long one exchange with a provider may take.
    pub(crate) timeout: String,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            allow_loopback: false,
            allow_loopback_for_clients: false,
            allowed_networks: Vec::new(),
            timeout: "10s".to_owned(),
        }
    }
}
