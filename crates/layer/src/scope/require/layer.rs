//! [`RequireScopeLayer`]: applies [`RequireScope`] to a route.

use std::sync::Arc;

use portcullis_core::ScopeSet;
use tower_layer::Layer;

use super::{RequireScope, service::Rule};
use crate::scope::ScopeHierarchy;

/// A [`Layer`] that applies [`RequireScope`] to a route: `.route_layer(RequireScopeLayer::new(scopes))`, inside
/// [`AuthLayer`](crate::AuthLayer).
///
/// 1. A CORS preflight passes, because it cannot carry a token.
/// 2. If the request has no user context, the response is 500 and an error is logged.
/// 3. If the user's scopes do not suffice, the response is 403, and the challenge contains all scopes that are needed.
///
/// It does **not** distinguish the operations within a route, such as tools: use
/// [`ToolScopesLayer`](crate::scope::ToolScopesLayer).
#[derive(Clone, Debug)]
pub struct RequireScopeLayer {
    rule: Arc<Rule>,
}

impl RequireScopeLayer {
    /// Creates a layer that requires all of `scopes`.
    #[must_use]
    pub fn new(scopes: ScopeSet) -> Self {
        Self { rule: Arc::new(Rule { scopes, hierarchy: ScopeHierarchy::new() }) }
    }

    /// Sets which scopes imply others. Default: no implications.
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
