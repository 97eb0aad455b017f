//! [`BackOffLayer`]: puts a [`BackOff`] around a service.

use std::sync::Arc;

use portcullis_core::Clock;
use tower_layer::Layer;

use crate::BackOff;

/// Puts a [`BackOff`] around a service: once for each provider, because everything behind one `BackOff` fails together.
#[derive(Clone, Debug)]
pub struct BackOffLayer {
    clock: Arc<dyn Clock>,
}

impl BackOffLayer {
    /// The layer; `clock` is for a `Retry-After` that is a date.
    #[must_use]
    pub const fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }
}

impl<S> Layer<S> for BackOffLayer {
    type Service = BackOff<S>;

    fn layer(&self, inner: S) -> BackOff<S> {
        BackOff::new(inner, Arc::clone(&self.clock))
    }
}
