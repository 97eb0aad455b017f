//! [`ClientHistory`]: what a client has received of a session.

use portcullis_test_support::{Answer, Authorization};

/// What a client has received.
pub(crate) struct ClientHistory {
    pub(crate) client_id: String,
    /// Who the user is at the provider.
    pub(crate) subject: String,
    /// All codes that came, with what they came for. All have been presented.
    pub(crate) codes: Vec<(Authorization, String)>,
    /// All tokens that came, the oldest first.
    pub(crate) pairs: Vec<Answer>,
    /// The newest generation of the token at the provider that a tool has seen.
    pub(crate) generation: u64,
    /// The client has revoked it.
    pub(crate) is_revoked: bool,
}

impl ClientHistory {
    /// The newest tokens.
    pub(crate) fn newest(&self) -> &Answer {
        self.pairs.last().expect("tokens")
    }
}
