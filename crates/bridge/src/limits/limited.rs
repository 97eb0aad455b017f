//! [`RateLimitKind`]: what is limited.

/// What is limited. Also a label of metrics.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum RateLimitKind {
    /// Wrong credentials of a client, from one address.
    Authentication,
    /// Codes, refresh tokens and assertions that are not good, presented by a client from one address.
    Grants,
    /// Registrations.
    Registrations,
    /// Fetches of documents that clients describe themselves by.
    Documents,
    /// Fetches of key sets by which clients sign.
    KeySets,
    /// Assertions of which it has to be remembered that they were used, of one client, or of one user.
    Assertions,
    /// Logins from which nobody has come back, of one address.
    Logins,
}

impl RateLimitKind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Authentication,
        Self::Grants,
        Self::Registrations,
        Self::Documents,
        Self::KeySets,
        Self::Assertions,
        Self::Logins,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Grants => "grants",
            Self::Registrations => "registrations",
            Self::Documents => "documents",
            Self::KeySets => "key_sets",
            Self::Assertions => "assertions",
            Self::Logins => "logins",
        }
    }
}
