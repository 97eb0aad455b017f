//! [`RefreshPool`]: the entries of the grants that are in use.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError},
};

use portcullis_core::{AuthError, GrantId, Reason};

use super::{
    current_tokens::Now,
    entry::GrantEntry,
    runtime::{Mutex, MutexGuard},
    shared::Shared,
    state::Row,
};
use crate::TokenSet;

/// Up to this number of entries a sweep is not worth its time.
const MIN_SWEEP_SIZE: usize = 1024;

/// The entries of the grants that are in use.
pub(crate) struct RefreshPool {
    shared: Arc<Shared>,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_id: HashMap<GrantId, Arc<GrantEntry>>,
    /// The number of entries at which the next sweep is due.
    sweep_at: usize,
}

impl RefreshPool {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared), entries: Mutex::new(Entries::default()) }
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Returns the entry of the grant `id`, and creates it if there is none.
    ///
    /// An entry of a grant that has ended is replaced: callers that still hold it get its error, later callers get what the store
    /// says.
    pub(crate) fn entry(&self, id: GrantId) -> Arc<GrantEntry> {
        let mut entries = self.entries();
        if let Some(entry) = entries.by_id.get(&id).filter(|entry| !entry.state().is_removed()) {
            return Arc::clone(entry);
        }
        entries.sweep(self.shared.now());
        let entry = Arc::new(GrantEntry::new(id, Arc::clone(&self.shared)));
        entries.by_id.insert(id, Arc::clone(&entry));
        entry
    }

    /// Adds a new grant with its first `tokens`. An entry of the same id belongs to an earlier login, and ends.
    pub(crate) fn create(&self, id: GrantId, tokens: &Arc<TokenSet>) {
        let entry = Arc::new(GrantEntry::new(id, Arc::clone(&self.shared)));
        entry.install(tokens);
        let mut entries = self.entries();
        entries.sweep(self.shared.now());
        let earlier = entries.by_id.insert(id, entry);
        drop(entries);
        if let Some(earlier) = earlier {
            let error = AuthError::new(Reason::GrantEnded).with_source("another login replaced the grant");
            drop(earlier.end(error, Row::Removed));
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Removes the entries that no caller holds and whose state the store has as well. The size doubles between two sweeps, so
    /// their cost per entry is constant on average.
    fn sweep(&mut self, now: Now) {
        if self.by_id.len() >= self.sweep_at {
            self.by_id.retain(|_, entry| Arc::strong_count(entry) > 1 || entry.state().must_be_kept(now));
            self.sweep_at = MIN_SWEEP_SIZE.max(self.by_id.len() * 2);
        }
    }
}

impl fmt::Debug for RefreshPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshPool").field("issuer", self.shared.issuer()).finish_non_exhaustive()
    }
}
