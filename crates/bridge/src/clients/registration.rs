//! [`RegistrationPolicy`]: whether clients may register themselves.

/// Whether clients may register themselves.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct RegistrationPolicy {}

impl RegistrationPolicy {
    /// They may.
    pub const fn new() -> Self {
        Self {}
    }
}

impl Default for RegistrationPolicy {
    fn default() -> Self {
        Self::new()
    }
}
