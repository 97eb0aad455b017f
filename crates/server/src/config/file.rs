//! [`File`]: the configuration file as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    bridge::Bridge, cache::Cache, connections::Connections, egress::Egress, resource_server::ResourceServer,
    store::Store,
};

/// Configuration of a Portcullis server.
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
    /// The header in which a proxy in front of this server sends the client address; of several addresses the last counts. Default: none,
    /// the client address is that of the connection.
    pub(crate) client_address_header: Option<String>,
    /// The connections of clients.
    pub(crate) connections: Connections,
    /// Which server issues the tokens: "resource-server" accepts those of other authorization servers, "bridge" issues its own.
    pub(crate) mode: Mode,
    /// Scopes that every request needs.
    pub(crate) required_scopes: Vec<String>,
    /// Tokens of other authorization servers; for mode = "resource-server".
    pub(crate) resource_server: ResourceServer,
    /// Tokens of this server, with login at a provider; for mode = "bridge".
    pub(crate) bridge: Bridge,
    /// The persistent state; for mode = "bridge".
    pub(crate) store: Store,
    /// The cache of verified users.
    pub(crate) cache: Cache,
    /// Outgoing requests.
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
