//! The section `egress`: the requests that leave this server.

use std::time::Duration;

use ipnet::IpNet;
use portcullis::egress::EgressConfig;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    ConfigError,
    document::{Document, duration_text, element, parse, positive},
};

#[derive(Deserialize, JsonSchema, Debug)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Egress {
    /// Whether providers on this machine may be called, even without TLS; for tests and the demo.
    pub(crate) allow_loopback: bool,
    /// Whether the metadata documents and key sets of clients may be fetched from this machine, even without TLS; for tests
    /// only.
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
            timeout: duration_text(EgressConfig::DEFAULT_TIMEOUT),
        }
    }
}

#[derive(Debug)]
pub(crate) struct EgressSettings {
    pub(crate) allow_loopback: bool,
    pub(crate) allow_loopback_for_clients: bool,
    pub(crate) allowed_networks: Vec<IpNet>,
    pub(crate) timeout: Duration,
}

/// Validates the section.
pub(super) fn validate(document: &Document, table: &Egress) -> Result<EgressSettings, ConfigError> {
    let network = |(index, text): (usize, &String)| {
        parse(document, &element("egress.allowed_networks", index), text, "a network, such as 10.1.0.0/16")
    };
    Ok(EgressSettings {
        allow_loopback: table.allow_loopback,
        allow_loopback_for_clients: table.allow_loopback_for_clients,
        allowed_networks: table.allowed_networks.iter().enumerate().map(network).collect::<Result<_, _>>()?,
        timeout: positive(document, "egress.timeout", &table.timeout)?,
    })
}
