//! [`UserInfoLayer`]: puts a [`UserInfoEnrichment`] around a verifier.

use tower_layer::Layer;

use super::UserInfoEnrichment;
use crate::UserInfoEndpoint;

/// Adds the user's profile to what a verifier found out; see [`UserInfoEnrichment`].
#[derive(Clone, Debug)]
pub struct UserInfoLayer {
    endpoint: UserInfoEndpoint,
}

impl UserInfoLayer {
    /// Profiles from `endpoint`.
    #[must_use]
    pub const fn new(endpoint: UserInfoEndpoint) -> Self {
        Self { endpoint }
    }
}

impl<V> Layer<V> for UserInfoLayer {
    type Service = UserInfoEnrichment<V>;

    fn layer(&self, verifier: V) -> UserInfoEnrichment<V> {
        UserInfoEnrichment::new(verifier, self.endpoint.clone())
    }
}
