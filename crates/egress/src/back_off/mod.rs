//! [`BackOffLayer`]: a failing provider gets one call per back-off window.

mod future;
mod layer;
mod provider;
mod retry_after;
mod service;

pub use future::BackOffFuture;
pub use layer::BackOffLayer;
pub use service::BackOff;
