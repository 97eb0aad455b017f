//! [`ToolScopesLayer`]: applies [`ToolScopes`] to an MCP server.

use std::sync::Arc;

use tower_layer::Layer;

use super::{OperationPolicy, ToolScopes, rule::Rule};
use crate::scope::ScopeHierarchy;

/// A [`Layer`] that applies [`ToolScopes`] to an MCP server, inside [`AuthLayer`](crate::AuthLayer).
///
/// 1. A request without a body passes, such as `GET`, `DELETE` or a preflight: it has no operation.
/// 2. If the request has no user context, the response is 500 and an error is logged.
/// 3. If the body is encoded, in another charset than UTF-8, too large, not JSON-RPC, or ambiguous
///    (see [`operations`](crate::scope::operations)), the response is 400, whatever the method of the request: the operations that the
///    inner service would find are unknown.
/// 4. If the headers `Mcp-Method` and `Mcp-Name` do not match the body, in a protocol version that has them (from
///    2026-07-28), the response is 400 with the JSON-RPC error -32020 of MCP. No decision is based on the headers alone.
/// 5. If the user's scopes do not suffice for all operations of the body, the response is 403, and the challenge contains all scopes
///    that are needed, for a batch too.
/// 6. Otherwise the inner service receives the request with the same bytes.
///
/// Every body is parsed as JSON-RPC, so apply the layer to the MCP endpoint only. If the policy is empty, no body is read.
///
/// It does **not** check responses, messages within an upgraded connection, or the arguments of a tool, and it does not limit the time
/// in which a body arrives.
#[derive(Clone, Debug)]
pub struct ToolScopesLayer {
    policy: OperationPolicy,
    hierarchy: ScopeHierarchy,
    body_limit: usize,
}

impl ToolScopesLayer {
    /// Creates a layer that enforces `policy`.
    #[must_use]
    pub fn new(policy: OperationPolicy) -> Self {
        Self { policy, hierarchy: ScopeHierarchy::new(), body_limit: 4 << 20 }
    }

    /// Sets which scopes imply others. Default: no implications.
    #[must_use]
    pub fn with_hierarchy(mut self, hierarchy: ScopeHierarchy) -> Self {
        self.hierarchy = hierarchy;
        self
    }

    /// Sets the maximum size of a body in bytes; a larger one is rejected. Default: 4 MiB.
    #[must_use]
    pub const fn with_body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }
}

impl<S> Layer<S> for ToolScopesLayer {
    type Service = ToolScopes<S>;

    fn layer(&self, inner: S) -> ToolScopes<S> {
        let rule = Rule::new(self.policy.clone(), self.hierarchy.clone(), self.body_limit);
        ToolScopes::new(inner, Arc::new(rule))
    }
}
