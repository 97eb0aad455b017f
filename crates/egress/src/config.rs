//! [`EgressConfig`]: what an [`Egress`](crate::Egress) may reach, and how long and how much it reads.

use std::time::Duration;

use ipnet::IpNet;

/// What an [`Egress`](crate::Egress) may reach, and how long and how much it reads.
#[derive(Clone, Debug)]
pub struct EgressConfig {
    pub(crate) allow_loopback: bool,
    pub(crate) allowed_networks: Vec<IpNet>,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_body: usize,
}

impl EgressConfig {
    /// Public `https` endpoints only, 10 s for an exchange, 5 s of them for connecting, bodies up to 1 MiB.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            allow_loopback: false,
            allowed_networks: Vec::new(),
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            max_body: 1024 * 1024,
        }
    }

    /// Whether this machine's own loopback may be reached, by plain `http` too. For tests and demos.
    #[must_use]
    pub const fn with_allow_loopback(mut self, allow: bool) -> Self {
        self.allow_loopback = allow;
        self
    }

    /// Networks that may be reached although they are not public, such as `10.1.0.0/16` where the provider stands.
    ///
    /// Addresses are matched as they are: an IPv4 network does not open its IPv4-mapped IPv6 form.
    #[must_use]
    pub fn with_allowed_networks(mut self, networks: Vec<IpNet>) -> Self {
        self.allowed_networks = networks;
        self
    }

    /// How long a whole exchange may take, from resolving the name to the last byte of the body. Default 10 s.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long connecting may take, TLS included. Default 5 s.
    #[must_use]
    pub const fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How many bytes of a response's body are read before it is refused. Default 1 MiB.
    #[must_use]
    pub const fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Why there is no [`Egress`](crate::Egress): TLS cannot be set up, in most cases for want of CA certificates.
#[derive(Debug, thiserror::Error)]
#[error("no HTTPS client can be made on this machine: are CA certificates installed?")]
pub struct EgressConfigError(#[source] pub(crate) reqwest::Error);
