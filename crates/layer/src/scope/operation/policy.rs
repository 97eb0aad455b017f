//! [`OperationPolicy`]: which operation of MCP needs which scopes.

use std::collections::HashMap;

use portcullis_core::ScopeSet;

use crate::scope::{
    Operation,
    json_rpc::{CALL_TOOL, GET_PROMPT},
};

/// Which operation of MCP needs which scopes. What no rule names needs none; rules for the same name add up.
///
/// Names are compared as they are written. There is no rule for the URI of a resource: the same resource may have many
/// URIs, and which they are only the server knows.
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
    /// A policy by which nothing needs scopes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Calling the tool `name` (`tools/call`) needs all of `scopes`.
    #[must_use]
    pub fn with_tool(mut self, name: &str, scopes: ScopeSet) -> Self {
        add(&mut self.tools, name, scopes);
        self
    }

    /// Calling a tool that [`with_tool`](Self::with_tool) does not name needs all of `scopes`. Default: none.
    #[must_use]
    pub fn with_other_tools(mut self, scopes: ScopeSet) -> Self {
        self.other_tools = scopes;
        self
    }

    /// Getting the prompt `name` (`prompts/get`) needs all of `scopes`.
    #[must_use]
    pub fn with_prompt(mut self, name: &str, scopes: ScopeSet) -> Self {
        add(&mut self.prompts, name, scopes);
        self
    }

    /// Every message with `method` needs all of `scopes`, besides what its tool or prompt needs.
    #[must_use]
    pub fn with_method(mut self, method: &str, scopes: ScopeSet) -> Self {
        add(&mut self.methods, method, scopes);
        self
    }

    /// Whether nothing needs scopes.
    pub(super) fn is_empty(&self) -> bool {
        let mut named = self.methods.values().chain(self.tools.values()).chain(self.prompts.values());
        self.other_tools.is_empty() && named.all(ScopeSet::is_empty)
    }

    /// Adds to `needed` all that `operation` needs.
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
