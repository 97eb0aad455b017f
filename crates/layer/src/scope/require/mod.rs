//! Scopes per route: layer, service and future.

mod future;
mod layer;
mod service;

pub use future::RequireScopeFuture;
pub use layer::RequireScopeLayer;
pub use service::RequireScope;
