//! [`AuthLayer`]: puts the gate in front of a service.

use std::sync::Arc;

use tower_layer::Layer;

use super::{Auth, AuthConfig, gate::Gate};

/// Puts [`Auth`] in front of a service: `.layer(AuthLayer::new(cfg))`.
///
/// Everything in front of which one layer is put shares its cache, sessions and metrics. Install a metrics recorder
/// before making it.
#[derive(Debug)]
pub struct AuthLayer<V> {
    verifier: V,
    gate: Arc<Gate>,
}

impl<V> AuthLayer<V> {
    /// A layer that guards as `config` says.
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
