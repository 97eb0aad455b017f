//! [`ContextRevocations`]: invalidates the user contexts of sessions in this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use portcullis_core::{GrantId, Revocation, Upstream};

/// The revocation handles of the user contexts in this process, by session. Revoking one invalidates cached contexts and ends open
/// streams. A token that is still valid gets a new context at the next request.
#[derive(Debug, Default)]
pub(super) struct ContextRevocations(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    revocations: HashMap<GrantId, Weak<Revocation>>,
    /// The size at which entries without a live context are removed.
    full: usize,
}

/// The minimum of that size.
const MIN_FULL: usize = 1024;

impl ContextRevocations {
    /// Adds the revocation of session `id` to `grant`.
    pub(super) fn attach(&self, id: GrantId, grant: Upstream) -> Upstream {
        let revocation = self.revocation(id, &grant);
        grant.with_revocation(revocation)
    }

    fn revocation(&self, id: GrantId, grant: &Upstream) -> Arc<Revocation> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(revocation) = known.revocations.get(&id).and_then(Weak::upgrade).filter(|known| !known.is_revoked())
        {
            return revocation;
        }
        if known.revocations.len() >= known.full.max(MIN_FULL) {
            known.revocations.retain(|_, revocation| revocation.strong_count() > 0);
            known.full = known.revocations.len() * 2;
        }
        let revocation = Arc::new(grant.revocation().map_or_else(Revocation::new, Revocation::following));
        known.revocations.insert(id, Arc::downgrade(&revocation));
        revocation
    }

    /// Revokes the contexts of a session. Contexts that are created later are not affected.
    pub(super) fn revoke(&self, id: GrantId) {
        let revocation = self.0.lock().unwrap_or_else(PoisonError::into_inner).revocations.remove(&id);
        if let Some(revocation) = revocation.and_then(|revocation| revocation.upgrade()) {
            revocation.revoke();
        }
    }

    /// Revokes the contexts of all sessions, as [`revoke`](Self::revoke) does those of one.
    pub(super) fn revoke_all(&self) {
        let revocations = std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).revocations);
        revocations
            .into_values()
            .filter_map(|revocation| revocation.upgrade())
            .for_each(|revocation| revocation.revoke());
    }
}
