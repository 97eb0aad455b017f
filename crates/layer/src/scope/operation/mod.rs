//! Scopes per MCP operation.

mod body;
mod layer;
mod policy;
mod rule;

pub use body::RequestBody;
pub use layer::{ToolScopes, ToolScopesFuture, ToolScopesLayer};
pub use policy::OperationPolicy;
