//! [`Collection`]: a named set of rows.

/// A named set of rows. Rows of different collections have nothing to do with each other, whatever their keys.
///
/// What was sealed for a collection opens under its name only, so the name never changes; and a store may use the number in place
/// of the name, so the number never changes either.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Collection {
    number: u8,
    name: &'static str,
}

impl Collection {
    /// Clients that registered themselves ([RFC 7591](https://www.rfc-editor.org/rfc/rfc7591)).
    pub const CLIENTS: Self = Self::new(1, "clients");
    /// Logins that are under way at a provider.
    pub const LOGINS: Self = Self::new(2, "logins");
    /// What a user allowed a client.
    pub const CONSENTS: Self = Self::new(3, "consents");
    /// Sessions: the tokens of one login, from its code to its end.
    pub const SESSIONS: Self = Self::new(4, "sessions");
    /// What may be presented only once, and was.
    pub const REPLAYS: Self = Self::new(5, "replays");
    /// Documents by which clients describe themselves
    /// ([Client ID Metadata Documents](https://datatracker.ietf.org/doc/draft-ietf-oauth-client-id-metadata-document/)).
    pub const DOCUMENTS: Self = Self::new(6, "documents");
    /// Which sessions a user has.
    pub const USERS: Self = Self::new(7, "users");

    /// Every collection.
    pub const ALL: [Self; 7] =
        [Self::CLIENTS, Self::LOGINS, Self::CONSENTS, Self::SESSIONS, Self::REPLAYS, Self::DOCUMENTS, Self::USERS];

    /// Creates the collection of this number and name, which no other collection has.
    #[must_use]
    pub const fn new(number: u8, name: &'static str) -> Self {
        Self { number, name }
    }

    /// Returns its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.name
    }

    /// Returns its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.number
    }
}
