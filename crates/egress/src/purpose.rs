//! [`RequestKind`]: what a request is for.

/// What a request is for, put into its extensions by whoever makes it: the label `purpose` of the metrics.
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
    /// The purpose called `name`: one of a few, such as `"key_set"` or `"introspection"`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// Its name.
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
