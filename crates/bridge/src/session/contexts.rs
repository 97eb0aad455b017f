//! [`ContextRevocations`]: what was made of sessions in this process, and can be withdrawn.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use portcullis_core::{GrantId, Revocation, Upstream};

/// The contexts that were made of sessions in this process, by session, so that they can be withdrawn from whoever holds them: caches,
/// and streams that are open. Whoever still has a token that works gets a new one.
#[derive(Debug, Default)]
pub(super) struct ContextRevocations(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    revocations: HashMap<GrantId, Weak<Revocation>>,
    /// When there are so many, those that nobody holds any more are forgotten.
    full: usize,
}

/// Fewer are not worth looking through.
const FEW: usize = 1024;

impl ContextRevocations {
    /// `grant`, with an end for the contexts of its session that comes earlier than its own, if they are withdrawn.
    pub(super) fn of(&self, id: GrantId, grant: Upstream) -> Upstream {
        let revocation = self.revocation(id, &grant);
        grant.with_revocation(revocation)
    }

    fn revocation(&self, id: GrantId, grant: &Upstream) -> Arc<Revocation> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(revocation) = known.revocations.get(&id).and_then(Weak::upgrade).filter(|known| !known.is_revoked())
        {
            return revocation;
        }
        if known.revocations.len() >= known.full.max(FEW) {
            known.revocations.retain(|_, revocation| revocation.strong_count() > 0);
            known.full = known.revocations.len() * 2;
        }
        let revocation = Arc::new(grant.revocation().map_or_else(Revocation::new, Revocation::following));
        known.revocations.insert(id, Arc::downgrade(&revocation));
        revocation
    }

    /// Withdraws the contexts of a session. Those that are made afterwards are others.
    pub(super) fn invalidate(&self, id: GrantId) {
        let revocation = self.0.lock().unwrap_or_else(PoisonError::into_inner).revocations.remove(&id);
        if let Some(revocation) = revocation.and_then(|revocation| revocation.upgrade()) {
            revocation.revoke();
        }
    }
}
