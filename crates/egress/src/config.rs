//! [`EgressConfig`]: configuration of an [`Egress`](crate::Egress), with its [`CaCertificates`] and its [`Proxy`]; [`RequestKind`] and [`MaxBody`]: the extensions of one request that
//! it reads.

use std::{fmt, time::Duration};

use ipnet::IpNet;
use url::Url;

/// Configuration of an [`Egress`](crate::Egress): destinations, time limits and size limit.
#[derive(Clone, Debug)]
pub struct EgressConfig {
    pub(crate) allow_loopback: bool,
    pub(crate) allowed_networks: Vec<IpNet>,
    pub(crate) http_hosts: Vec<Box<str>>,
    pub(crate) ca_certificates: Option<CaCertificates>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_body: usize,
}

impl EgressConfig {
    /// The default of [`with_timeout`](Self::with_timeout).
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// Creates the default configuration: public `https` endpoints only, 10 s for a request, 5 s of them for the connection, bodies up to
    /// 1 MiB.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            allow_loopback: false,
            allowed_networks: Vec::new(),
            http_hosts: Vec::new(),
            ca_certificates: None,
            proxy: None,
            timeout: Self::DEFAULT_TIMEOUT,
            connect_timeout: Duration::from_secs(5),
            max_body: 1024 * 1024,
        }
    }

    /// Allows the loopback addresses of this machine, by plain `http` as well: for tests and demos. Default: they are blocked.
    #[must_use]
    pub const fn with_loopback_allowed(mut self) -> Self {
        self.allow_loopback = true;
        self
    }

    /// Sets networks that are allowed although they are not public, such as `10.1.0.0/16` of an internal provider.
    ///
    /// Addresses are matched as they are: an IPv4 network does not include its IPv4-mapped IPv6 form.
    #[must_use]
    pub fn with_allowed_networks(mut self, networks: Vec<IpNet>) -> Self {
        self.allowed_networks = networks;
        self
    }

    /// Sets hosts that are called by plain `http` as well, by name or address, such as a provider in the same cluster. Default: none.
    ///
    /// Their addresses must be in an [allowed network](Self::with_allowed_networks), also for `https`. Tokens and keys cross that network
    /// unprotected: any machine in it can read and replace them.
    #[must_use]
    pub fn with_http_hosts<I: IntoIterator<Item: AsRef<str>>>(mut self, hosts: I) -> Self {
        self.http_hosts = hosts.into_iter().map(|host| host.as_ref().to_ascii_lowercase().into()).collect();
        self
    }

    /// Adds CA certificates to those of the operating system: for a private CA, or a proxy that intercepts TLS. Default: none.
    #[must_use]
    pub fn with_ca_certificates(mut self, certificates: CaCertificates) -> Self {
        self.ca_certificates = Some(certificates);
        self
    }

    /// Sends requests through `proxy`. Default: none; a proxy in the environment is ignored.
    ///
    /// The proxy resolves the names of hosts, so that **the addresses of names are not checked here**: the proxy must refuse connections to
    /// its own network. Addresses in URLs are checked as before. Loopback and the [`http` hosts](Self::with_http_hosts) are called directly.
    #[must_use]
    pub fn with_proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Sets the time limit of a request, from resolving the name to the last byte of the body. Default 10 s.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the time limit of the connection, TLS included. Default 5 s.
    #[must_use]
    pub const fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how many bytes of a response's body are read before it is rejected. Default 1 MiB.
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

/// CA certificates that are trusted beside those of the operating system.
#[derive(Clone)]
pub struct CaCertificates(pub(crate) Vec<reqwest::Certificate>);

impl CaCertificates {
    /// Parses certificates in PEM.
    ///
    /// # Errors
    /// [`EgressConfigError`] if there is no certificate, or one cannot be read.
    pub fn from_pem(text: &[u8]) -> Result<Self, EgressConfigError> {
        let problem = "no CA certificate in PEM can be read";
        let read = reqwest::Certificate::from_pem_bundle(text);
        let certificates = read.map_err(|error| EgressConfigError { problem, source: Some(error.into()) })?;
        if certificates.is_empty() { Err(EgressConfigError { problem, source: None }) } else { Ok(Self(certificates)) }
    }
}

/// Prints the number only.
impl fmt::Debug for CaCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CaCertificates").field(&self.0.len()).finish()
    }
}

/// An outbound proxy, and the hosts that are called without it.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub(crate) url: Url,
    pub(crate) direct: Vec<Box<str>>,
}

impl Proxy {
    /// Creates a proxy at an `http` or `https` URL without path and without credentials.
    ///
    /// # Errors
    /// [`EgressConfigError`] for another URL.
    pub fn new(url: &str) -> Result<Self, EgressConfigError> {
        let invalid = |source: Option<url::ParseError>| EgressConfigError {
            problem: "the proxy is not an http or https URL without path and credentials",
            source: source.map(Into::into),
        };
        let url = Url::parse(url).map_err(|error| invalid(Some(error)))?;
        let is_bare =
            url.username().is_empty() && url.password().is_none() && url.path() == "/" && url.query().is_none();
        if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none() || !is_bare {
            return Err(invalid(None));
        }
        Ok(Self { url, direct: Vec::new() })
    }

    /// Sets the hosts that are called without the proxy: names, which include their subdomains, addresses and networks. Default: none. Their
    /// addresses are checked.
    #[must_use]
    pub fn with_direct_hosts<I: IntoIterator<Item: Into<Box<str>>>>(mut self, hosts: I) -> Self {
        self.direct = hosts.into_iter().map(Into::into).collect();
        self
    }
}

/// An error in an [`EgressConfig`](crate::EgressConfig): TLS cannot be set up, in most cases because there are no CA certificates; or the
/// proxy or the CA certificates are invalid.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct EgressConfigError {
    pub(crate) problem: &'static str,
    pub(crate) source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kind of a request: the label `purpose` of the metrics. The component that makes the request puts it into the extensions.
///
/// ```
/// use portcullis_egress::RequestKind;
///
/// let request = http::Request::get("https://idp.example.com/jwks").extension(RequestKind::new("key_set")).body(())?;
/// assert_eq!(request.extensions().get(), Some(&RequestKind::new("key_set")));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestKind(&'static str);

impl RequestKind {
    /// Creates a kind from its name: one of a few, such as `"key_set"` or `"introspection"`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// Returns the name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// `other`.
impl Default for RequestKind {
    fn default() -> Self {
        Self("other")
    }
}

/// The size limit of one response's body. The component that makes the request puts it into the extensions. It
/// lowers the limit of the [`EgressConfig`](crate::EgressConfig) and never raises it.
///
/// It is for responses of untrusted hosts that are small unless they are an attack.
///
/// ```
/// use portcullis_egress::MaxBody;
///
/// let request = http::Request::get("https://app.example.com/client.json").extension(MaxBody::new(5 * 1024)).body(())?;
/// assert_eq!(request.extensions().get::<MaxBody>().map(|limit| limit.bytes()), Some(5 * 1024));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaxBody(usize);

impl MaxBody {
    /// Creates a limit of `bytes`.
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Returns the limit in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0
    }
}
