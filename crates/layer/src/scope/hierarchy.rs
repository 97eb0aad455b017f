//! [`ScopeHierarchy`]: scopes that imply others.

use std::collections::HashMap;

use portcullis_core::ScopeSet;

/// A hierarchy of scopes, in which broad scopes imply narrow ones: a token with `mcp:admin` does not need `mcp:read` as well.
///
/// Implications are transitive; a cycle makes its scopes equivalent. MCP authorization, Step-Up Authorization Flow: a server considers
/// scope hierarchies when it decides whether the scopes of a token suffice.
///
/// ```
/// use portcullis_core::ScopeSet;
/// use portcullis_layer::scope::ScopeHierarchy;
///
/// let hierarchy = ScopeHierarchy::new()
///     .with_implication("mcp:admin", ScopeSet::parse("mcp:write")?)
///     .with_implication("mcp:write", ScopeSet::parse("mcp:read")?);
/// let (admin, read) = (ScopeSet::parse("mcp:admin")?, ScopeSet::parse("mcp:read")?);
/// assert!(hierarchy.satisfies(&admin, &read));
/// assert!(!hierarchy.satisfies(&read, &admin));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, Debug)]
pub struct ScopeHierarchy {
    /// The scopes that each broad scope implies, directly or indirectly.
    implied: HashMap<Box<str>, ScopeSet>,
}

impl ScopeHierarchy {
    /// Creates a hierarchy without implications.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the implication of all of `narrow`, and of the scopes that these imply, by `broad`.
    #[must_use]
    pub fn with_implication(mut self, broad: &str, narrow: ScopeSet) -> Self {
        let further: Vec<_> = narrow.iter().filter_map(|scope| self.implied.get(scope)).cloned().collect();
        let gained = further.iter().fold(narrow, |gained, more| gained.union(more));
        self.implied.entry(broad.into()).or_default();
        for (scope, implied) in &mut self.implied {
            if **scope == *broad || implied.contains(broad) {
                *implied = implied.union(&gained);
            }
        }
        self
    }

    /// Reports whether `held` suffices for `needed`: each needed scope is held, or implied by a held one.
    #[must_use]
    pub fn satisfies(&self, held: &ScopeSet, needed: &ScopeSet) -> bool {
        held.is_superset(needed) || needed.iter().all(|scope| held.contains(scope) || self.is_implied(held, scope))
    }

    fn is_implied(&self, held: &ScopeSet, scope: &str) -> bool {
        held.iter().any(|broad| self.implied.get(broad).is_some_and(|implied| implied.contains(scope)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> ScopeSet {
        ScopeSet::parse(text).expect(text)
    }

    #[test]
    fn without_implications_scopes_stand_for_themselves() {
        let hierarchy = ScopeHierarchy::new();
        assert!(hierarchy.satisfies(&scopes("a b"), &scopes("b")));
        assert!(hierarchy.satisfies(&scopes(""), &scopes("")));
        assert!(!hierarchy.satisfies(&scopes("a"), &scopes("a b")));
    }

    #[test]
    fn implications_are_transitive_in_whatever_order_they_are_given() {
        let links = [("a", "b"), ("b", "c"), ("c", "d e")];
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1], [2, 0, 1], [1, 2, 0]] {
            let hierarchy = order.iter().fold(ScopeHierarchy::new(), |hierarchy, &at| {
                let (broad, narrow) = links[at];
                hierarchy.with_implication(broad, scopes(narrow))
            });
            assert!(hierarchy.satisfies(&scopes("a"), &scopes("e d c b a")), "{order:?}");
            assert!(!hierarchy.satisfies(&scopes("b"), &scopes("a")), "{order:?}");
            assert!(!hierarchy.satisfies(&scopes("d e"), &scopes("c")), "{order:?}");
        }
    }

    #[test]
    fn a_cycle_makes_its_scopes_equivalent() {
        let hierarchy = ScopeHierarchy::new()
            .with_implication("a", scopes("b"))
            .with_implication("b", scopes("c a"))
            .with_implication("a", scopes("a"));
        assert!(hierarchy.satisfies(&scopes("a"), &scopes("a b c")));
        assert!(hierarchy.satisfies(&scopes("b"), &scopes("a b c")));
        assert!(!hierarchy.satisfies(&scopes("c"), &scopes("a")));
    }

    #[test]
    fn what_is_needed_may_be_covered_by_several_scopes_together() {
        let hierarchy = ScopeHierarchy::new().with_implication("a", scopes("x"));
        assert!(hierarchy.satisfies(&scopes("a b"), &scopes("x b")));
        assert!(!hierarchy.satisfies(&scopes("b"), &scopes("x b")));
    }
}
