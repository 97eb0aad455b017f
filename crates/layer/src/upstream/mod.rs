//! A fresh upstream token before the inner service is called: layer, service and future.

mod future;
mod layer;
mod service;

pub use future::RequireUpstreamFuture;
pub use layer::RequireUpstreamLayer;
pub use service::RequireUpstream;
