//! [`Index`]: the read path, a map without locks.

use std::sync::Arc;

use papaya::HashMap;
use portcullis_core::{Fingerprint, FingerprintState, UnixTime, UserContext};

use super::entry::{Entry, Freshness};

/// Where hits are read. It holds what the store holds: the store decides what stays and tells the index what goes.
///
/// A look at moka costs 240 ns with one context and 1.8 µs with a million of them, because each read is recorded for its
/// eviction policy; a look here costs a tenth of that (`docs/decisions/0002-the-cache.md`).
#[derive(Debug)]
pub(super) struct Index(HashMap<Fingerprint, Entry, FingerprintState>);

impl Index {
    pub(super) fn new() -> Self {
        Self(HashMap::with_hasher(FingerprintState::default()))
    }

    /// Applies `look` to the entry, if there is one.
    pub(super) fn look<T>(&self, fingerprint: &Fingerprint, look: impl FnOnce(&Entry) -> T) -> Option<T> {
        self.0.pin().get(fingerprint).map(look)
    }

    /// The context, if it is good `now`.
    pub(super) fn live(&self, fingerprint: &Fingerprint, now: UnixTime) -> Option<Arc<UserContext>> {
        self.look(fingerprint, |entry| (entry.freshness(now) != Freshness::Dead).then(|| Arc::clone(&entry.context)))
            .flatten()
    }

    pub(super) fn insert(&self, fingerprint: Fingerprint, entry: Entry) {
        self.0.pin().insert(fingerprint, entry);
    }

    /// Removes the entry of `context`, unless another has taken its place.
    pub(super) fn remove(&self, fingerprint: &Fingerprint, context: &Arc<UserContext>) {
        let _ = self.0.pin().remove_if(fingerprint, |_, entry| Arc::ptr_eq(&entry.context, context));
    }

    /// Removes whatever entry there is.
    pub(super) fn clear(&self, fingerprint: &Fingerprint) {
        self.0.pin().remove(fingerprint);
    }
}
