//! [`Table`]: what a record is about.

/// What a record is about. Records of different tables have nothing to do with each other, whatever their keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Table {
    /// Clients that registered themselves ([RFC 7591](https://www.rfc-editor.org/rfc/rfc7591)).
    Clients,
    /// Logins that are under way at a provider.
    Logins,
    /// What a user allowed a client.
    Consents,
    /// Sessions: the tokens of one login, from its code to its end.
    Sessions,
    /// What may be presented only once, and was.
    Replays,
    /// Documents by which clients describe themselves
    /// ([Client ID Metadata Documents](https://datatracker.ietf.org/doc/draft-ietf-oauth-client-id-metadata-document/)).
    Documents,
    /// Which sessions a user has.
    Users,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 7] =
        [Self::Clients, Self::Logins, Self::Consents, Self::Sessions, Self::Replays, Self::Documents, Self::Users];

    /// Its name. What was sealed for a table opens under this name only, so it never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Logins => "logins",
            Self::Consents => "consents",
            Self::Sessions => "sessions",
            Self::Replays => "replays",
            Self::Documents => "documents",
            Self::Users => "users",
        }
    }

    /// Its number, for stores that spare themselves the name. It never changes, and no other table ever gets it.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Clients => 1,
            Self::Logins => 2,
            Self::Consents => 3,
            Self::Sessions => 4,
            Self::Replays => 5,
            Self::Documents => 6,
            Self::Users => 7,
        }
    }
}
