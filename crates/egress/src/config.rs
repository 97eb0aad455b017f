//! [`EgressConfig`]: configuration of an [`Egress`](crate::Egress); [`RequestKind`] and [`MaxBody`]: the extensions of one request that
//! it reads.

use std::time::Duration;

use ipnet::IpNet;

/// Configuration of an [`Egress`](crate::Egress): destinations, time limits and size limit.
#[derive(Clone, Debug)]
pub struct EgressConfig {
    pub(crate) allow_loopback: bool,
    pub(crate) allowed_networks: Vec<IpNet>,
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
            timeout: Self::DEFAULT_TIMEOUT,
            connect_timeout: Duration::from_secs(5),
            max_body: 1024 * 1024,
        }
    }

    /// Sets whether the loopback addresses of this machine are allowed, by plain `http` as well. For tests and demos.
    #[must_use]
    pub const fn with_allow_loopback(mut self, allow: bool) -> Self {
        self.allow_loopback = allow;
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

/// The error of [`Egress::new`](crate::Egress::new): TLS cannot be set up, in most cases because there are no CA certificates.
#[derive(Debug, thiserror::Error)]
#[error("no HTTPS client can be made on this machine: are CA certificates installed?")]
pub struct EgressConfigError(#[source] pub(crate) reqwest::Error);

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
