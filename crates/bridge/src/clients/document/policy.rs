//! [`ClientMetadataDocumentPolicy`]: which client metadata documents the bridge accepts.

/// A policy that selects the accepted client metadata documents.
///
/// A host is written as in the URL, with its port if the URL has one: `claude.ai`, `localhost:8080`. It does **not** include its
/// subdomains.
///
/// ```
/// use portcullis_bridge::ClientMetadataDocumentPolicy;
///
/// // Accepts clients of two hosts. Those of one host are trusted like configured clients.
/// let policy = ClientMetadataDocumentPolicy::new().with_allowed_hosts(["claude.ai", "app.example.com"]).with_trusted_hosts(["app.example.com"]);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientMetadataDocumentPolicy {
    pub(crate) is_enabled: bool,
    allowed_hosts: Option<Vec<Box<str>>>,
    trusted_hosts: Vec<Box<str>>,
    pub(super) allows_loopback: bool,
}

impl ClientMetadataDocumentPolicy {
    /// Accepts the documents of every public host, and trusts no host.
    pub const fn new() -> Self {
        Self { is_enabled: true, allowed_hosts: None, trusted_hosts: Vec::new(), allows_loopback: false }
    }

    /// Rejects client ids that are URLs, except those of configured clients.
    pub const fn disabled() -> Self {
        let mut policy = Self::new();
        policy.is_enabled = false;
        policy
    }

    /// Sets the hosts whose documents are accepted. Default: every public host.
    pub fn with_allowed_hosts<'a>(mut self, hosts: impl IntoIterator<Item = &'a str>) -> Self {
        self.allowed_hosts = Some(collected(hosts));
        self
    }

    /// Sets the trusted hosts. Errors redirect to their clients without an interstitial page, as to configured clients. Trusted hosts
    /// must be allowed as well. Default: none.
    pub fn with_trusted_hosts<'a>(mut self, hosts: impl IntoIterator<Item = &'a str>) -> Self {
        self.trusted_hosts = collected(hosts);
        self
    }

    /// Sets whether loopback hosts are accepted, also with `http`: for tests and demos. The
    /// [`Egress`](portcullis_egress::Egress) has to allow them as well.
    pub const fn with_allow_loopback(mut self, allow: bool) -> Self {
        self.allows_loopback = allow;
        self
    }

    /// Reports whether documents of `host` are accepted.
    pub(super) fn is_host_allowed(&self, host: &str) -> bool {
        self.is_enabled
            && self.allowed_hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|allowed| **allowed == *host))
    }

    /// Reports whether the operator has configured `host`, which is [allowed](Self::is_host_allowed).
    pub(super) fn is_host_configured(&self, host: &str) -> bool {
        self.allowed_hosts.is_some() || self.is_host_trusted(host)
    }

    /// Reports whether `host` is trusted.
    pub(super) fn is_host_trusted(&self, host: &str) -> bool {
        self.trusted_hosts.iter().any(|trusted| **trusted == *host)
    }
}

fn collected<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Vec<Box<str>> {
    hosts.into_iter().map(|host| host.to_ascii_lowercase().into()).collect()
}

impl Default for ClientMetadataDocumentPolicy {
    fn default() -> Self {
        Self::new()
    }
}
