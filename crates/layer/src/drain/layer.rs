//! [`DrainLayer`]: puts [`Drain`] in front of a service.

use tower_layer::Layer;

use super::Drain;

/// A layer that reads what a service leaves of a request's body, up to 256 KiB and for at most 1 s, before the response is sent; if
/// that is not the end of the body, the response says `Connection: close`.
///
/// It belongs outside of everything that may answer without reading the body: routers that say 404 or 405, checks of `Host`, limits.
/// [`AuthLayer`](crate::AuthLayer) and the other layers of this crate do as much for their own rejections without it.
///
/// Requests without a body, and those over HTTP/2, pass unchanged.
///
/// It does *not* limit how long a body takes that the service reads, and not how a server closes a connection. A client that
/// sends a large body reads the response before it finds the connection reset only if the server goes on reading for a while
/// ([RFC 9112 section 9.6](https://www.rfc-editor.org/rfc/rfc9112#section-9.6)), which hyper alone does not.
#[derive(Clone, Copy, Debug, Default)]
pub struct DrainLayer(());

impl DrainLayer {
    /// The layer. It has no settings.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = Drain<S>;

    fn layer(&self, inner: S) -> Drain<S> {
        Drain::new(inner)
    }
}
