//! [`EnrichLayer`]: puts an [`Enriched`] around a verifier.

use tower_layer::Layer;

use super::Enriched;
use crate::UserInfoEndpoint;

/// Adds the user's profile to what a verifier found out; see [`Enriched`].
#[derive(Clone, Debug)]
pub struct EnrichLayer {
    endpoint: UserInfoEndpoint,
}

impl EnrichLayer {
    /// Profiles from `endpoint`.
    #[must_use]
    pub const fn new(endpoint: UserInfoEndpoint) -> Self {
        Self { endpoint }
    }
}

impl<V> Layer<V> for EnrichLayer {
    type Service = Enriched<V>;

    fn layer(&self, verifier: V) -> Enriched<V> {
        Enriched::new(verifier, self.endpoint.clone())
    }
}
