//! Where the values of clients are stored. Numbers and names are in databases and never change.

use portcullis_refresh::GrantStore;
use portcullis_store::Collection;

/// The bindings that were resolved by the network, by resource and grant: a restart needs no network to use the tokens.
pub const BINDINGS: Collection = Collection::new(20, "client bindings");

/// The credentials of rmcp's `AuthorizationManager`.
pub const RMCP_CREDENTIALS: Collection = Collection::new(24, "rmcp_credentials");

/// The clients that registered themselves, each at one issuer, with one redirect URI.
pub const REGISTRATIONS: Collection = Collection::new(26, "client_registrations");

/// The keys to which tokens are bound.
pub const DPOP_KEYS: Collection = Collection::new(28, "dpop_keys");

/// All of them, and that of the tokens: to [check](portcullis_store::SealedStore::open) a key ring, and to
/// [seal everything with another key](portcullis_store::SealedStore::rekey).
///
/// A [`TokenManager`](crate::TokenManager) removes expired tokens. Of the others, only a registered client expires whose secret does, and
/// the next registration replaces it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use portcullis_client::collections;
/// use portcullis_refresh::GrantStore;
/// use portcullis_store::{KeyRing, MemoryStore, SealedStore};
///
/// let (old_key, new_key) = ([1; 32], [2; 32]);
/// let keys = KeyRing::new(&[new_key, old_key]).ok_or("a key")?;
/// let database = Arc::new(MemoryStore::new());
/// let store = SealedStore::open(database, keys, &collections::ALL).await?;
/// let report = store.rekey(&collections::ALL).await?;
/// assert_eq!(report.unreadable, 0, "the old key can be removed");
/// let tokens = GrantStore::from(store);
/// # drop(tokens);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub const ALL: [Collection; 5] = [GrantStore::COLLECTION, BINDINGS, RMCP_CREDENTIALS, REGISTRATIONS, DPOP_KEYS];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_of_collections_are_what_is_in_databases() {
        let collections = ALL.map(|collection| (collection.number(), collection.as_str()));
        assert_eq!(
            collections,
            [
                (0, "grants"),
                (20, "client bindings"),
                (24, "rmcp_credentials"),
                (26, "client_registrations"),
                (28, "dpop_keys")
            ]
        );
    }
}
