//! [`RefreshRequest`]: which grant, and whether its token was refused.

use portcullis_core::{Generation, GrantId};

/// Asks for the tokens of a grant. It is cheap to copy, as tower's retry wants it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RefreshRequest {
    grant: GrantId,
    refused: Option<Generation>,
}

impl RefreshRequest {
    /// Tokens of `grant` that are not known to be dead.
    #[must_use]
    pub const fn new(grant: GrantId) -> Self {
        Self { grant, refused: None }
    }

    /// The provider refused the access token of this generation. If it is the current one, another one is got.
    #[must_use]
    pub const fn with_refused(mut self, generation: Generation) -> Self {
        self.refused = Some(generation);
        self
    }

    /// Whose tokens.
    #[must_use]
    pub const fn grant(&self) -> GrantId {
        self.grant
    }

    /// The generation of the token that was refused.
    #[must_use]
    pub const fn refused(&self) -> Option<Generation> {
        self.refused
    }
}
