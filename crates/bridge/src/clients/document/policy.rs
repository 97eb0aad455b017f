//! [`ClientMetadataDocumentPolicy`]: which clients may describe themselves by a document at their own URL.

/// Which clients may describe themselves by a document at their own URL.
///
/// A host is written as in the URL, with its port if it has one there: `claude.ai`, `localhost:8080`. Hosts below it are others.
///
/// ```
/// use portcullis_bridge::ClientMetadataDocumentPolicy;
///
/// // Clients of two houses, and those of one of them are as good as configured ones.
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
    /// All that have one; none is trusted.
    pub const fn new() -> Self {
        Self { is_enabled: true, allowed_hosts: None, trusted_hosts: Vec::new(), allows_loopback: false }
    }

    /// None.
    pub const fn disabled() -> Self {
        let mut policy = Self::new();
        policy.is_enabled = false;
        policy
    }

    /// The hosts whose documents are fetched. Default: every public host.
    pub fn with_allowed_hosts<'a>(mut self, hosts: impl IntoIterator<Item = &'a str>) -> Self {
        self.allowed_hosts = Some(collected(hosts));
        self
    }

    /// The hosts whose clients are sent errors without a page in between, as configured clients are. They must be allowed as well.
    /// Default: none.
    pub fn with_trusted_hosts<'a>(mut self, hosts: impl IntoIterator<Item = &'a str>) -> Self {
        self.trusted_hosts = collected(hosts);
        self
    }

    /// Whether a client may have its document on this machine, at plain `http` too: for tests and demos. The
    /// [`Egress`](portcullis_egress::Egress) has to allow it as well.
    pub const fn with_allow_loopback(mut self, allow: bool) -> Self {
        self.allows_loopback = allow;
        self
    }

    /// Whether documents of `host` are fetched.
    pub(super) fn allows(&self, host: &str) -> bool {
        self.is_enabled
            && self.allowed_hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|allowed| **allowed == *host))
    }

    /// Whether the operator has named `host`, which is [allowed](Self::allows).
    pub(super) fn chooses(&self, host: &str) -> bool {
        self.allowed_hosts.is_some() || self.trusts(host)
    }

    /// Whether clients of `host` may be sent errors.
    pub(super) fn trusts(&self, host: &str) -> bool {
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
