//! The section `egress`: the requests that leave this server.

use std::{fs, time::Duration};

use ipnet::IpNet;
use portcullis::egress::{CaCertificates, EgressConfig, Proxy};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    ConfigError,
    document::{Document, duration_text, element, given, parse, positive},
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
    /// Hosts in `allowed_networks` that may be called without TLS, such as "keycloak".
    pub(crate) http_hosts: Vec<String>,
    /// A file with CA certificates in PEM, which are trusted beside those of the operating system.
    pub(crate) ca_file: Option<String>,
    /// The URL of the proxy for outgoing requests, such as "http://proxy.example.com:3128". Default: none.
    pub(crate) proxy: Option<String>,
    /// Hosts and networks that are called without the proxy.
    pub(crate) no_proxy: Vec<String>,
    /// How long one exchange with a provider may take.
    pub(crate) timeout: String,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            allow_loopback: false,
            allow_loopback_for_clients: false,
            allowed_networks: Vec::new(),
            http_hosts: Vec::new(),
            ca_file: None,
            proxy: None,
            no_proxy: Vec::new(),
            timeout: duration_text(EgressConfig::DEFAULT_TIMEOUT),
        }
    }
}

#[derive(Debug)]
pub(crate) struct EgressSettings {
    pub(crate) allow_loopback: bool,
    pub(crate) allow_loopback_for_clients: bool,
    pub(crate) allowed_networks: Vec<IpNet>,
    pub(crate) http_hosts: Vec<String>,
    ca_certificates: Option<CaCertificates>,
    proxy: Option<Proxy>,
    pub(crate) timeout: Duration,
}

impl EgressSettings {
    /// Returns the egress configuration for requests to providers.
    pub(crate) fn for_providers(&self) -> EgressConfig {
        let config = self.with_transport().with_allowed_networks(self.allowed_networks.clone());
        let config = config.with_http_hosts(&self.http_hosts);
        if self.allow_loopback { config.with_loopback_allowed() } else { config }
    }

    /// Returns the egress configuration for URLs that clients name, which must be public.
    pub(crate) fn for_clients(&self) -> EgressConfig {
        let config = self.with_transport();
        if self.allow_loopback_for_clients { config.with_loopback_allowed() } else { config }
    }

    /// Returns the configuration that does not depend on the destination.
    fn with_transport(&self) -> EgressConfig {
        let config = EgressConfig::new().with_timeout(self.timeout);
        let config = self.ca_certificates.iter().cloned().fold(config, EgressConfig::with_ca_certificates);
        self.proxy.iter().cloned().fold(config, EgressConfig::with_proxy)
    }
}

/// Validates the section.
pub(super) fn validate(document: &Document, table: &Egress) -> Result<EgressSettings, ConfigError> {
    let network = |(index, text): (usize, &String)| {
        parse(document, &element("egress.allowed_networks", index), text, "a network, such as 10.1.0.0/16")
    };
    if let Some(index) = table.http_hosts.iter().position(|host| host.is_empty() || host.contains(['/', ':'])) {
        let key = element("egress.http_hosts", index);
        return Err(document.error(&key, "must be the name or the IPv4 address of a host, without scheme and port"));
    }
    if !table.http_hosts.is_empty() && table.allowed_networks.is_empty() {
        return Err(document.error("egress.http_hosts", "needs `egress.allowed_networks`: the networks of these hosts"));
    }
    Ok(EgressSettings {
        http_hosts: table.http_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        ca_certificates: ca_certificates(document, given(table.ca_file.clone()))?,
        proxy: proxy(document, given(table.proxy.clone()), &table.no_proxy)?,
        allow_loopback: table.allow_loopback,
        allow_loopback_for_clients: table.allow_loopback_for_clients,
        allowed_networks: table.allowed_networks.iter().enumerate().map(network).collect::<Result<_, _>>()?,
        timeout: positive(document, "egress.timeout", &table.timeout)?,
    })
}

fn ca_certificates(document: &Document, file: Option<String>) -> Result<Option<CaCertificates>, ConfigError> {
    let Some(file) = file else { return Ok(None) };
    let unusable = |problem: String| document.error("egress.ca_file", format!("cannot be used: {file}: {problem}"));
    let text = fs::read(&file).map_err(|error| unusable(error.to_string()))?;
    CaCertificates::from_pem(&text).map(Some).map_err(|error| unusable(error.to_string()))
}

/// Returns the proxy. The error does not contain its URL, which might have a password.
fn proxy(document: &Document, url: Option<String>, direct: &[String]) -> Result<Option<Proxy>, ConfigError> {
    let Some(url) = url else {
        let is_alone = !direct.is_empty();
        return if is_alone { Err(document.error("egress.no_proxy", "needs `egress.proxy`")) } else { Ok(None) };
    };
    let proxy = Proxy::new(&url).map_err(|_| {
        document.error("egress.proxy", "must be an http or https URL without path, user name and password")
    })?;
    Ok(Some(proxy.with_direct_hosts(direct.iter().map(String::as_str))))
}
