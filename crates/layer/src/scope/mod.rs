//! Scopes: which token may do what.
//!
//! Three places, from coarse to fine:
//!
//! 1. [`AuthConfig::with_required_scopes`](crate::AuthConfig::with_required_scopes): what every request needs;
//! 2. [`RequireScopeLayer`]: what every request to one route needs;
//! 3. [`ToolScopesLayer`]: what one operation of MCP needs, such as the call of one tool.
//!
//! All of them answer 403 with every scope that the operation needs in one challenge, and all of them can be told by a
//! [`ScopeHierarchy`] which scopes imply others. The layers of this module stand *inside* [`AuthLayer`](crate::AuthLayer):
//! they read the `Arc<UserContext>` that it puts into the request, and it turns their refusals into the responses that the
//! [wire table](portcullis_core::wire) demands.
//!
//! MCP authorization, sections Scope Challenge Handling and Step-Up Authorization Flow.

mod hierarchy;
mod json_rpc;
mod json_rpc_reader;
mod operation;
mod require;

pub use hierarchy::ScopeHierarchy;
pub use json_rpc::{InvalidJsonRpc, Operation, for_each_operation, operations};
pub use operation::{OperationPolicy, RequestBody, ToolScopes, ToolScopesFuture, ToolScopesLayer};
pub use require::{RequireScope, RequireScopeFuture, RequireScopeLayer};
