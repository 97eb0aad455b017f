//! [`RequireScopeLayer`]: puts a check of scopes in front of a route.

use std::sync::Arc;

use portcullis_core::ScopeSet;
use tower_layer::Layer;

use super::{RequireScope, service::Rule};
use crate::scope::ScopeHierarchy;

/// Puts [`RequireScope`] in front of a route: `.route_layer(RequireScopeLayer::new(scopes))`, inside
/// [`AuthLayer`](crate::AuthLayer).
///
/// 1. A CORS preflight passes, as it passes the gate: it cannot carry a token.
/// 2. If nobody has said who is calling, the answer is 500 and an error in the log.
/// 3. If the user's scopes do not suffice, the answer is 403, and the challenge names all that are needed at once.
///
/// It does **not** know about operations within a route, such as tools: that is
/// [`ToolScopesLayer`](crate::scope::ToolScopesLayer).
#[derive(Clone, Debug)]
pub struct RequireScopeLayer {
    rule: Arc<Rule>,
}

impl RequireScopeLayer {
    /// Every request needs all of `scopes`.
    #[must_use]
    pub fn new(scopes: ScopeSet) -> Self {
        Self { rule: Arc::new(Rule { scopes, hierarchy: ScopeHierarchy::new() }) }
    }

    /// Which scopes imply others. Default: none does.
    #[must_use]
    pub fn with_hierarchy(self, hierarchy: ScopeHierarchy) -> Self {
        Self { rule: Arc::new(Rule { scopes: self.rule.scopes.clone(), hierarchy }) }
    }
}

impl<S> Layer<S> for RequireScopeLayer {
    type Service = RequireScope<S>;

    fn layer(&self, inner: S) -> RequireScope<S> {
        RequireScope::new(inner, Arc::clone(&self.rule))
    }
}
