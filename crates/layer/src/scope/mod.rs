//! Checks of scopes, for every request, per route and per operation.
//!
//! There are three checks, from coarse to fine:
//!
//! 1. [`AuthConfig::with_required_scopes`](crate::AuthConfig::with_required_scopes): the scopes of every request;
//! 2. [`RequireScopeLayer`]: the scopes of every request to one route;
//! 3. [`ToolScopesLayer`]: the scopes of one MCP operation, such as the call of one tool.
//!
//! All of them respond with 403 and a challenge that contains every scope that the operation needs, and all of them accept a
//! [`ScopeHierarchy`] of scopes that imply others. The layers of this module belong *inside* [`AuthLayer`](crate::AuthLayer):
//! they read the `Arc<UserContext>` that it inserts into the request, and it converts their rejections to the responses of the
//! [wire table](portcullis_core::wire).
//!
//! MCP authorization, sections Scope Challenge Handling and Step-Up Authorization Flow.

mod json_rpc;
mod policy;
mod require;
mod tool_scopes;

pub use json_rpc::{InvalidJsonRpc, Operation, for_each_operation, operations};
pub use policy::{OperationPolicy, ScopeHierarchy};
pub use require::{RequireScope, RequireScopeFuture, RequireScopeLayer};
pub use tool_scopes::{RequestBody, ToolScopes, ToolScopesFuture, ToolScopesLayer};
