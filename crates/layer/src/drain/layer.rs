//! [`DrainLayer`]: applies [`Drain`] to a service.

use tower_layer::Layer;

use super::Drain;

/// A [`Layer`] that drains the request body that a service has not read, up to 256 KiB and for at most 1 s, before the response is sent.
/// If the body is longer, the response has `Connection: close`.
///
/// Apply it outside of all services that may respond without reading the body: routers that respond with 404 or 405, checks of `Host`,
/// limits. [`AuthLayer`](crate::AuthLayer) and the other layers of this crate drain the body before their own rejections without it.
///
/// Requests without a body, and those over HTTP/2, pass unchanged.
///
/// It does **not** limit the time that the service takes to read a body, nor does it change how a server closes a connection. A client
/// that sends a large body reads the response before the connection is reset only if the server continues to read for a while
/// ([RFC 9112 section 9.6](https://www.rfc-editor.org/rfc/rfc9112#section-9.6)), which hyper alone does not.
#[derive(Clone, Copy, Debug, Default)]
pub struct DrainLayer(());

impl DrainLayer {
    /// Creates the layer. It has no settings.
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
