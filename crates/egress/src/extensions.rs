//! [`RequestKind`] and [`MaxBody`]: the extensions of a request that an [`Egress`](crate::Egress) reads.

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
