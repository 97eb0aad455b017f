//! [`Config`]: the configuration, validated.

use std::{ffi::OsString, net::SocketAddr, path::Path, time::Duration};

use http::{HeaderName, Uri};
use ipnet::IpNet;
use portcullis::{
    Issuer, ResourceUri, ScopeSet,
    oauth::{ClientAuthentication, jwt::Algorithm},
};
use secrecy::SecretString;

use super::{
    ConfigError,
    bridge::BridgeSettings,
    document::Document,
    environment,
    file::File,
    schema::{Node, json_schema},
    store::StoreSettings,
    validate::validate,
};
use crate::connections::Limits;

/// The configuration of a [`Server`](crate::Server), validated.
#[derive(Debug)]
pub struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) resource: ResourceUri,
    pub(crate) admin_listen: Option<SocketAddr>,
    pub(crate) client_address_header: Option<HeaderName>,
    pub(crate) connections: Limits,
    pub(crate) required_scopes: ScopeSet,
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
        let schema = json_schema();
        let schema = Node::new(&schema);
        environment::overlay(&mut document, schema, variables)?;
        schema.check(&document, &document.root, "")?;
        validate(document.deserialize::<File>()?, &document)
    }

    /// Returns the JSON Schema of the configuration file.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        json_schema()
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

    /// Returns the scopes that every request needs.
    #[must_use]
    pub const fn required_scopes(&self) -> &ScopeSet {
        &self.required_scopes
    }
}

/// Who issues the tokens.
#[derive(Debug)]
pub(crate) enum ModeSettings {
    /// These, and not this server.
    ResourceServer(Vec<IssuerSettings>),
    /// This server, after a login at a provider.
    Bridge(Box<BridgeSettings>, StoreSettings),
}

#[derive(Debug)]
pub(crate) struct IssuerSettings {
    pub(crate) issuer: Issuer,
    pub(crate) verification: Verification,
    pub(crate) audience: Option<String>,
    pub(crate) subject_claim: Option<String>,
    pub(crate) allow_client_without_subject: bool,
    pub(crate) introspection_endpoint: Option<Uri>,
    pub(crate) userinfo_endpoint: Option<Uri>,
    pub(crate) enrich: bool,
}

/// How an issuer's tokens are verified, with what that needs.
#[derive(Debug)]
pub(crate) enum Verification {
    Jwt {
        algorithms: Vec<Algorithm>,
        token_types: Vec<String>,
        jwks_uri: Option<Uri>,
    },
    Introspection(Credentials),
    /// UserInfo says who; introspection, or GitHub's token check, says for whom.
    UserInfo {
        credentials: Credentials,
        check_token_endpoint: Option<Uri>,
    },
}

impl Verification {
    pub(crate) const fn is_jwt(&self) -> bool {
        matches!(self, Self::Jwt { .. })
    }
}

#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) client_id: String,
    pub(crate) client_secret: SecretString,
}

impl Credentials {
    pub(crate) fn client(&self) -> ClientAuthentication {
        ClientAuthentication::basic(&self.client_id, self.client_secret.clone())
    }
}

#[derive(Debug)]
pub(crate) struct CacheSettings {
    pub(crate) ttl: Duration,
    pub(crate) capacity: u64,
    pub(crate) rejected_ttl: Duration,
    pub(crate) stale_if_error: Duration,
}

#[derive(Debug)]
pub(crate) struct EgressSettings {
    pub(crate) allow_loopback: bool,
    pub(crate) allow_loopback_for_clients: bool,
    pub(crate) allowed_networks: Vec<IpNet>,
    pub(crate) timeout: Duration,
}
