//! Scopes per MCP operation: policy, layer, service and future.

mod future;
mod headers;
mod layer;
mod policy;
mod read_body;
mod request_body;
mod rule;
mod service;

pub use future::ToolScopesFuture;
pub use layer::ToolScopesLayer;
pub use policy::OperationPolicy;
pub use request_body::RequestBody;
pub use service::ToolScopes;
