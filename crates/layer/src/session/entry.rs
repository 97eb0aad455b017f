//! [`Session`]: whose it is, and when it was used.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use portcullis_core::{Principal, UserContext};

/// A session of a client that acts for a principal.
#[derive(Debug)]
pub(super) struct Session {
    /// A copy: a header value read from a connection keeps the whole buffer alive in which it came.
    id: Box<[u8]>,
    principal: Principal,
    client_id: Option<Box<str>>,
    used_at: AtomicU64,
}

impl Session {
    pub(super) fn new(id: &[u8], user: &UserContext, now: u64) -> Self {
        let (principal, client_id) = (user.principal().clone(), user.client_id().map(Into::into));
        Self { id: id.into(), principal, client_id, used_at: now.into() }
    }

    pub(super) const fn id(&self) -> &[u8] {
        &self.id
    }

    pub(super) const fn principal(&self) -> &Principal {
        &self.principal
    }

    pub(super) fn belongs_to(&self, user: &UserContext) -> bool {
        self.principal == *user.principal() && self.client_id.as_deref() == user.client_id()
    }

    /// Notes a use, by a clock that only counts.
    pub(super) fn note_use(&self, now: u64) {
        self.used_at.store(now, Relaxed);
    }

    pub(super) fn used_at(&self) -> u64 {
        self.used_at.load(Relaxed)
    }
}
