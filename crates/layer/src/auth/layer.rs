//! [`AuthLayer`]: applies [`Auth`] to a service.

use std::sync::Arc;

use tower_layer::Layer;

use super::{Auth, AuthConfig, gate::Gate};

/// A [`Layer`] that applies [`Auth`]: `.layer(AuthLayer::new(cfg))`.
///
/// All services under one layer share its cache, sessions and metrics. Install a metrics recorder before you create the layer.
#[derive(Debug)]
pub struct AuthLayer<V> {
    verifier: V,
    gate: Arc<Gate>,
}

impl<V> AuthLayer<V> {
    /// Creates a layer from `config`.
    #[must_use]
    pub fn new(config: AuthConfig<V>) -> Self {
        let (verifier, gate) = Gate::new(config);
        Self { verifier, gate: Arc::new(gate) }
    }
}

impl<V: Clone> Clone for AuthLayer<V> {
    fn clone(&self) -> Self {
        Self { verifier: self.verifier.clone(), gate: Arc::clone(&self.gate) }
    }
}

impl<S, V: Clone> Layer<S> for AuthLayer<V> {
    type Service = Auth<S, V>;

    fn layer(&self, inner: S) -> Auth<S, V> {
        Auth::from_parts(inner, self.verifier.clone(), Arc::clone(&self.gate))
    }
}
