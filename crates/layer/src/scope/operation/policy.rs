//! [`OperationPolicy`]: the scopes that each MCP operation needs.

use std::collections::HashMap;

use portcullis_core::ScopeSet;

use crate::scope::{
    Operation,
    json_rpc::{CALL_TOOL, GET_PROMPT},
};

/// The scopes that each MCP operation needs. An operation without a rule needs none; several rules for the same name are combined.
///
/// Names are compared as they are written. There are no rules for the URI of a resource: a resource may have several URIs, which only the
/// server knows.
///
/// ```
/// use portcullis_core::ScopeSet;
/// use portcullis_layer::scope::{OperationPolicy, ToolScopesLayer};
///
/// let policy = OperationPolicy::new()
///     .with_tool("delete_user", ScopeSet::parse("mcp:admin")?)
///     .with_other_tools(ScopeSet::parse("mcp:tools")?)
///     .with_method("resources/read", ScopeSet::parse("mcp:read")?);
/// let layer = ToolScopesLayer::new(policy);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, Debug)]
pub struct OperationPolicy {
    methods: HashMap<Box<str>, ScopeSet>,
    tools: HashMap<Box<str>, ScopeSet>,
    other_tools: ScopeSet,
    prompts: HashMap<Box<str>, ScopeSet>,
}

impl OperationPolicy {
    /// Creates a policy without rules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires all of `scopes` for calls of the tool `name` (`tools/call`).
    #[must_use]
    pub fn with_tool(mut self, name: &str, scopes: ScopeSet) -> Self {
        add(&mut self.tools, name, scopes);
        self
    }

    /// Requires all of `scopes` for calls of tools that [`with_tool`](Self::with_tool) does not name. Default: none.
    #[must_use]
    pub fn with_other_tools(mut self, scopes: ScopeSet) -> Self {
        self.other_tools = scopes;
        self
    }

    /// Requires all of `scopes` for the prompt `name` (`prompts/get`).
    #[must_use]
    pub fn with_prompt(mut self, name: &str, scopes: ScopeSet) -> Self {
        add(&mut self.prompts, name, scopes);
        self
    }

    /// Requires all of `scopes` for messages with `method`, in addition to the scopes of their tool or prompt.
    #[must_use]
    pub fn with_method(mut self, method: &str, scopes: ScopeSet) -> Self {
        add(&mut self.methods, method, scopes);
        self
    }

    /// Reports whether no operation needs scopes.
    pub(super) fn is_empty(&self) -> bool {
        let mut named = self.methods.values().chain(self.tools.values()).chain(self.prompts.values());
        self.other_tools.is_empty() && named.all(ScopeSet::is_empty)
    }

    /// Adds the scopes that `operation` needs to `needed`.
    pub(super) fn add_needed(&self, operation: &Operation, needed: &mut ScopeSet) {
        for scopes in self.rules(operation) {
            if !needed.is_superset(scopes) {
                *needed = needed.union(scopes);
            }
        }
    }

    fn rules(&self, operation: &Operation) -> impl Iterator<Item = &ScopeSet> {
        let by_target = match (operation.method(), operation.target()) {
            (CALL_TOOL, Some(tool)) => Some(self.tools.get(tool).unwrap_or(&self.other_tools)),
            (GET_PROMPT, Some(prompt)) => self.prompts.get(prompt),
            _ => None,
        };
        self.methods.get(operation.method()).into_iter().chain(by_target)
    }
}

fn add(rules: &mut HashMap<Box<str>, ScopeSet>, name: &str, scopes: ScopeSet) {
    rules.entry(name.into()).and_modify(|known| *known = known.union(&scopes)).or_insert(scopes);
}
