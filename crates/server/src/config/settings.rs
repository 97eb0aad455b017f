//! [`Config`]: the configuration as written ([`File`]), loaded and validated.

use std::{ffi::OsString, net::SocketAddr, path::Path};

use http::HeaderName;
use portcullis::{ResourceUri, ScopeSet, layer::SessionBinding, store::KeyRing};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Deserialize;

use super::bridge::{self, Bridge, BridgeSettings};
use super::document::{ConfigError, Document, element, given, parse, uri_problem};
use super::egress::{self, Egress, EgressSettings};
use super::process::{self, Cache, CacheSettings, Connections, Store, StoreSettings};
use super::resource_server::{self, IssuerSettings, ResourceServer};
use super::schema::{self, Node};
use super::section::Section;
use crate::connections::Limits;
use crate::server_names::{Origin, authority};

/// Configuration of a Portcullis server.
///
/// Every key may also be given as an environment variable: `PORTCULLIS__SECTION__KEY`, elements of lists by number.
/// Durations are written like "5m" or "1h 30s".
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct File {
    /// Address and port to listen on.
    pub(crate) listen: String,
    /// The URL clients use; the resource is this plus "/mcp". Default: http:// and `listen`, if that is a loopback address.
    pub(crate) public_url: Option<String>,
    /// Further names by which clients or a proxy address this server in `Host`, without ports.
    pub(crate) allowed_hosts: Vec<String>,
    /// Further origins whose pages may call this server, such as "https://app.example.com", or "null" for sandboxed pages.
    pub(crate) allowed_origins: Vec<String>,
    /// The name of the MCP server for users: in the metadata of the resource, and on the pages of a bridge.
    pub(crate) resource_name: Option<String>,
    /// Address and port of /healthz, /readyz and /metrics. Default: not served.
    pub(crate) admin_listen: Option<String>,
    /// The header in which a proxy in front of this server sends the client address; of several addresses the last counts. Default: none,
    /// the client address is that of the connection.
    pub(crate) client_address_header: Option<String>,
    /// A file with the keys of session ids, one per line: 32 bytes in base64 or hexadecimal. The first key signs, all verify. Default: in
    /// bridge mode the keys of the store, otherwise a random key of this process.
    pub(crate) session_keys_file: Option<String>,
    /// The connections of clients.
    pub(crate) connections: Connections,
    /// Which server issues the tokens: "resource-server" accepts those of other authorization servers, "bridge" issues its own.
    pub(crate) mode: Mode,
    /// Scopes that every request needs.
    pub(crate) required_scopes: Vec<String>,
    /// The scopes that clients are told to request, where the issuer has other names for them than its tokens. Default: `required_scopes`.
    pub(crate) challenge_scopes: Vec<String>,
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

/// The origins of hosted MCP clients, which some of them send although no browser is involved.
const HOSTED_CLIENTS: [&str; 4] =
    ["https://claude.ai", "https://claude.com", "https://chatgpt.com", "https://vscode.dev"];

impl Default for File {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8000".to_owned(),
            public_url: None,
            allowed_hosts: Vec::new(),
            allowed_origins: HOSTED_CLIENTS.map(str::to_owned).into(),
            resource_name: None,
            admin_listen: None,
            client_address_header: None,
            session_keys_file: None,
            connections: Connections::default(),
            mode: Mode::ResourceServer,
            required_scopes: Vec::new(),
            challenge_scopes: Vec::new(),
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

/// The path of the MCP endpoint, below the public URL.
const ENDPOINT: &str = "/mcp";

/// The configuration of a [`Server`](crate::Server), validated.
#[derive(Debug)]
pub struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) resource: ResourceUri,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) resource_name: Option<String>,
    pub(crate) admin_listen: Option<SocketAddr>,
    pub(crate) client_address_header: Option<HeaderName>,
    /// `None`: a random key of this process.
    pub(crate) session_keys: Option<KeyRing>,
    pub(crate) connections: Limits,
    pub(crate) required_scopes: ScopeSet,
    /// The scopes that clients are told to request; `None`: the required scopes.
    pub(crate) challenge_scopes: Option<ScopeSet>,
    pub(crate) mode: ModeSettings,
    pub(crate) cache: CacheSettings,
    pub(crate) egress: EgressSettings,
}

impl Config {
    /// Loads a TOML file. The environment `variables` that begin with `PORTCULLIS__` override its keys.
    ///
    /// # Errors
    ///
    /// Returns the first error, with the line of the file or the name of the variable.
    pub fn load(file: &Path, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        Self::read(Document::read(file)?, variables)
    }

    /// Parses `text` as [`load`](Self::load) parses a file. Error messages call the text `name`.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn parse(
        name: &str,
        text: &str,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        Self::read(Document::parse(name, text)?, variables)
    }

    fn read(
        mut document: Document,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let schema = Self::json_schema();
        let schema = Node::new(&schema);
        schema::overlay(&mut document, schema, variables)?;
        schema.check(&document, &document.root, "")?;
        validate(document.deserialize::<File>()?, &document)
    }

    /// Returns the JSON Schema of the configuration file.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        settings.into_generator().into_root_schema_for::<File>().to_value()
    }

    /// Returns the address to listen on.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Returns the resource: the public URL of the MCP endpoint.
    #[must_use]
    pub const fn resource(&self) -> &ResourceUri {
        &self.resource
    }

    /// Returns the URL that clients use, without "/mcp" and without a slash at its end. In bridge mode it is the issuer.
    #[must_use]
    pub fn public_url(&self) -> &str {
        let resource = self.resource.as_str();
        resource.strip_suffix(ENDPOINT).unwrap_or(resource)
    }

    /// Returns the path of the public URL; empty if there is none.
    pub(crate) fn base_path(&self) -> &str {
        self.public_url().strip_prefix(self.resource.origin()).unwrap_or_default()
    }

    /// Returns how the ids of sessions are bound to users.
    pub(crate) fn session_binding(&self) -> SessionBinding {
        let keys = self.session_keys.as_ref().map(|keys| keys.derive("ids of MCP sessions"));
        keys.and_then(|keys| SessionBinding::with_keys(keys.iter().map(|key| &**key))).unwrap_or_default()
    }

    /// Returns the scopes that every request needs.
    #[must_use]
    pub const fn required_scopes(&self) -> &ScopeSet {
        &self.required_scopes
    }
}

/// The server that issues the tokens.
#[derive(Debug)]
pub(crate) enum ModeSettings {
    /// Other authorization servers.
    ResourceServer(Vec<IssuerSettings>),
    /// This server (bridge), with login at a provider.
    Bridge(Box<BridgeSettings>, StoreSettings),
}

/// Validates `file`, the values of `document`.
fn validate(mut file: File, document: &Document) -> Result<Config, ConfigError> {
    let client_address_header = client_address_header(document, &mut file)?;
    let listen: SocketAddr = parse(document, "listen", &file.listen, "an address and a port, such as 127.0.0.1:8000")?;
    let admin_listen = given(file.admin_listen)
        .map(|text| parse(document, "admin_listen", &text, "an address and a port, such as 127.0.0.1:9000"))
        .transpose()?;
    if admin_listen == Some(listen) {
        return Err(document.error("admin_listen", "must differ from `listen`"));
    }
    let resource = resource(document, given(file.public_url), listen)?;
    let allowed_hosts =
        allowed(document, "allowed_hosts", file.allowed_hosts, is_host_name, "a host name without a port")?;
    let is_origin = |origin: &str| Origin::parse(origin).is_some();
    let expected = "an origin such as \"https://app.example.com\", without a path, or \"null\"";
    let allowed_origins = allowed(document, "allowed_origins", file.allowed_origins, is_origin, expected)?;
    let scopes = |key: &str, names: &[String]| {
        ScopeSet::new(names)
            .map_err(|error| document.error(key, format!("has {:?}, which is not a scope name", error.0)))
    };
    let required_scopes = scopes("required_scopes", &file.required_scopes)?;
    let challenge_scopes = scopes("challenge_scopes", &file.challenge_scopes)?;
    if file.mode == Mode::Bridge && !challenge_scopes.is_empty() {
        let problem = "is for mode = \"resource-server\": a bridge issues tokens with the scopes that clients request";
        return Err(document.error("challenge_scopes", problem));
    }
    let connections = process::validate_connections(document, &file.connections, client_address_header.is_some())?;
    let cache = process::validate_cache(document, &file.cache)?;
    let egress = egress::validate(document, &file.egress)?;
    let mode = match file.mode {
        Mode::ResourceServer => ModeSettings::ResourceServer(resource_server::validate_all(
            document,
            file.resource_server.issuers,
            &egress,
        )?),
        Mode::Bridge => {
            let section = Section { document, egress: &egress, path: "bridge".to_owned() };
            let bridge = bridge::validate(&section, file.bridge, resource.clone(), &required_scopes)?;
            ModeSettings::Bridge(Box::new(bridge), process::validate_store(document, &file.store)?)
        }
    };
    let session_keys = match (given(file.session_keys_file), &mode) {
        (Some(file), _) => Some(process::keys(document, "session_keys_file", &file)?),
        (None, ModeSettings::Bridge(_, StoreSettings::Sqlite { keys, .. })) => Some(keys.clone()),
        (None, _) => None,
    };
    Ok(Config {
        listen,
        resource,
        allowed_hosts,
        allowed_origins,
        resource_name: given(file.resource_name),
        admin_listen,
        client_address_header,
        session_keys,
        connections,
        required_scopes,
        challenge_scopes: (!challenge_scopes.is_empty()).then_some(challenge_scopes),
        mode,
        cache,
        egress,
    })
}

/// Returns the header for client addresses. In bridge mode, the older key of the section `bridge` takes precedence.
fn client_address_header(document: &Document, file: &mut File) -> Result<Option<HeaderName>, ConfigError> {
    let mut header = given(file.client_address_header.take()).map(|name| ("client_address_header", name));
    if file.mode == Mode::Bridge {
        let of_bridge = given(file.bridge.client_address_header.take());
        header = of_bridge.map(|name| ("bridge.client_address_header", name)).or(header);
        file.bridge.client_address_header = header.as_ref().map(|(_, name)| name.clone());
    }
    let parse = |(key, name): (&str, String)| name.parse().map_err(|_| document.error(key, "is not a header name"));
    header.map(parse).transpose()
}

fn resource(document: &Document, public_url: Option<String>, listen: SocketAddr) -> Result<ResourceUri, ConfigError> {
    let path = "public_url";
    let url = match public_url {
        Some(url) => url,
        None if listen.ip().is_loopback() && listen.port() != 0 => format!("http://{listen}"),
        None => {
            return Err(document
                .error(path, format!("is missing: listen = \"{listen}\" is not an address that clients can use")));
        }
    };
    let invalid = |error| document.error(path, uri_problem(&error));
    let base = url.strip_suffix('/').unwrap_or(&url);
    let rest = ResourceUri::new(base).map_err(invalid)?;
    if rest.path_and_query().contains('?') || rest.path_and_query().ends_with('/') {
        return Err(document.error(path, format!("must have no query, and one slash at most at its end: {url:?}")));
    }
    if rest.path_and_query().ends_with(ENDPOINT) {
        return Err(document.error(path, format!("must not end with {ENDPOINT}, which the server appends: {url:?}")));
    }
    ResourceUri::new(&format!("{base}{ENDPOINT}")).map_err(invalid)
}

/// Checks each element of a list.
fn allowed(
    document: &Document,
    key: &str,
    values: Vec<String>,
    is_valid: impl Fn(&str) -> bool,
    expected: &str,
) -> Result<Vec<String>, ConfigError> {
    match values.iter().position(|value| !is_valid(value)) {
        Some(index) => {
            Err(document.error(&element(key, index), format!("must be {expected}, not {:?}", values[index])))
        }
        None => Ok(values),
    }
}

fn is_host_name(name: &str) -> bool {
    authority(name).is_some_and(|(host, port)| port.is_none() && host == name.to_ascii_lowercase())
}
