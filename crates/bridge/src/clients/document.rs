//! [`DocumentPolicy`]: which clients may describe themselves by a document at their own URL.

/// Which clients may describe themselves by a document at their own URL.
#[derive(Clone, Debug)]
#[must_use]
pub struct DocumentPolicy {}

impl DocumentPolicy {
    /// All that have one.
    pub const fn new() -> Self {
        Self {}
    }
}

impl Default for DocumentPolicy {
    fn default() -> Self {
        Self::new()
    }
}
