//! [`CircuitBreakerLayer`]: puts a [`CircuitBreaker`] around a service.

use std::sync::Arc;

use portcullis_core::Clock;
use tower_layer::Layer;

use crate::CircuitBreaker;

/// Puts a [`CircuitBreaker`] around a service: once for each provider, because everything behind one `CircuitBreaker` fails together.
#[derive(Clone, Debug)]
pub struct CircuitBreakerLayer {
    clock: Arc<dyn Clock>,
}

impl CircuitBreakerLayer {
    /// The layer; `clock` is for a `Retry-After` that is a date.
    #[must_use]
    pub const fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl<S> Layer<S> for CircuitBreakerLayer {
    type Service = CircuitBreaker<S>;

    fn layer(&self, inner: S) -> CircuitBreaker<S> {
        CircuitBreaker::new(inner, Arc::clone(&self.clock))
    }
}
