//! [`MaxBody`]: how much of one response is read.

/// How many bytes of the response's body are read before it is refused, put into a request's extensions by whoever makes it. It
/// lowers the limit of the [`EgressConfig`](crate::EgressConfig) and never raises it.
///
/// It is for answers of strangers that are small if they are honest.
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
    /// At most so many bytes.
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// How many bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0
    }
}
