//! Scopes per operation of MCP: policy, layer, service, future.

mod future;
mod layer;
mod mirrored;
mod policy;
mod read_body;
mod representation;
mod request_body;
mod rule;
mod service;

pub use future::ToolScopesFuture;
pub use layer::ToolScopesLayer;
pub use policy::OperationPolicy;
pub use request_body::RequestBody;
pub use service::ToolScopes;
