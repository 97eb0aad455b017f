//! [`UpstreamLayer`]: puts an [`UpstreamVerifier`] around a verifier.

use tower_layer::Layer;

use super::UpstreamVerifier;

/// Asks the provider about users that a verifier knows by tokens of this server's own; see [`UpstreamVerifier`].
#[derive(Clone, Debug)]
pub struct UpstreamLayer<P> {
    provider: P,
}

impl<P> UpstreamLayer<P> {
    /// `provider` is the verifier of the provider's tokens.
    #[must_use]
    pub const fn new(provider: P) -> Self {
        Self { provider }
    }
}

impl<G, P: Clone> Layer<G> for UpstreamLayer<P> {
    type Service = UpstreamVerifier<G, P>;

    fn layer(&self, verifier: G) -> UpstreamVerifier<G, P> {
        UpstreamVerifier::new(verifier, self.provider.clone())
    }
}
