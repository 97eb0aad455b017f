//! [`ToolScopesLayer`]: puts a check of scopes in front of an MCP server.

use std::sync::Arc;

use tower_layer::Layer;

use super::{OperationPolicy, ToolScopes, rule::Rule};
use crate::scope::ScopeHierarchy;

/// Puts [`ToolScopes`] in front of an MCP server, inside [`AuthLayer`](crate::AuthLayer).
///
/// 1. A request without a body passes, be it `GET`, `DELETE` or a preflight: it asks for no operation.
/// 2. If nobody has said who is calling, the answer is 500 and an error in the log.
/// 3. If the body is encoded, in another charset than UTF-8, too large, no JSON-RPC, or open to more than one reading
///    (see [`operations`](crate::scope::operations)), the answer is 400, whatever the method of the request: nobody can
///    tell what the inner service would find in it.
/// 4. If the headers `Mcp-Method` and `Mcp-Name` say something else than the body, on a wire that has them (from
///    2026-07-28), the answer is 400 with the JSON-RPC error -32020, as MCP has it. Nothing is ever decided by them alone.
/// 5. If the user's scopes do not suffice for everything that the body asks for, the answer is 403, and the challenge names
///    all that is needed at once, for a batch too.
/// 6. Else the inner service gets the request with the same bytes.
///
/// Every body is taken for JSON-RPC, so put it in front of the MCP endpoint only. If the policy is empty, no body is read.
///
/// It does **not** look at responses, at messages within an upgraded connection, or at what a tool does with its arguments,
/// and it does not limit how slowly a body may come.
#[derive(Clone, Debug)]
pub struct ToolScopesLayer {
    policy: OperationPolicy,
    hierarchy: ScopeHierarchy,
    body_limit: usize,
}

impl ToolScopesLayer {
    /// Operations need what `policy` says. Bodies are read up to 4 MiB.
    #[must_use]
    pub fn new(policy: OperationPolicy) -> Self {
        Self { policy, hierarchy: ScopeHierarchy::new(), body_limit: 4 << 20 }
    }

    /// Which scopes imply others. Default: none does.
    #[must_use]
    pub fn with_hierarchy(mut self, hierarchy: ScopeHierarchy) -> Self {
        self.hierarchy = hierarchy;
        self
    }

    /// How large a body may be, in bytes; a larger one is refused. Default: 4 MiB.
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
