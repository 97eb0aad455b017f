//! Introspection: what a token is, for resource servers elsewhere.

/// A resource server elsewhere, which may ask about tokens.
#[derive(Clone, Debug)]
#[must_use]
pub struct ResourceServer {}
