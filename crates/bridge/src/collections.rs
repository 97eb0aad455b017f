//! The collections in which a bridge keeps its rows.
//!
//! Their numbers and names are in databases, so they never change.

use portcullis_store::Collection;

/// Clients that registered themselves ([RFC 7591](https://www.rfc-editor.org/rfc/rfc7591)).
pub const CLIENTS: Collection = Collection::new(1, "clients");

/// Logins that are pending at a provider.
pub const LOGINS: Collection = Collection::new(2, "logins");

/// The scopes that users allowed to clients.
pub const CONSENTS: Collection = Collection::new(3, "consents");

/// Sessions: the tokens of one login, from its code to its end.
pub const SESSIONS: Collection = Collection::new(4, "sessions");

/// Values that may be presented only once, and were.
pub const REPLAYS: Collection = Collection::new(5, "replays");

/// Documents by which clients describe themselves
/// ([Client ID Metadata Documents](https://datatracker.ietf.org/doc/draft-ietf-oauth-client-id-metadata-document/)).
pub const DOCUMENTS: Collection = Collection::new(6, "documents");

/// The sessions, clients and consents of a user.
pub const USERS: Collection = Collection::new(7, "users");

/// The keys that sign access tokens, if the bridge generates them.
pub const SIGNING_KEYS: Collection = Collection::new(8, "signing_keys");

/// All of them.
pub const ALL: [Collection; 8] = [CLIENTS, LOGINS, CONSENTS, SESSIONS, REPLAYS, DOCUMENTS, USERS, SIGNING_KEYS];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_of_collections_are_what_is_in_databases() {
        let collections = ALL.map(|collection| (collection.number(), collection.as_str()));
        assert_eq!(
            collections,
            [
                (1, "clients"),
                (2, "logins"),
                (3, "consents"),
                (4, "sessions"),
                (5, "replays"),
                (6, "documents"),
                (7, "users"),
                (8, "signing_keys")
            ]
        );
    }
}
