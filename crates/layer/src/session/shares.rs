//! [`Shares`]: the sessions of each principal.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use portcullis_core::{Principal, UserContext};

/// A session of a client that acts for a principal.
#[derive(Debug)]
pub(super) struct Session {
    /// A copy, because a header value keeps the whole read buffer of its connection alive.
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

    /// Records a use at the logical time `now`.
    pub(super) fn touch(&self, now: u64) {
        self.used_at.store(now, Relaxed);
    }

    pub(super) fn used_at(&self) -> u64 {
        self.used_at.load(Relaxed)
    }
}

/// The sessions of each principal, with a limit: a principal that opens too many ends its own.
///
/// It is accessed when a session begins and ends, never by a request that uses one.
#[derive(Debug)]
pub(super) struct Shares {
    by_principal: Mutex<HashMap<Principal, Vec<Arc<Session>>>>,
    most: usize,
}

impl Shares {
    pub(super) fn new(most: usize) -> Self {
        Self { by_principal: Mutex::default(), most }
    }

    /// Adds `session`. Returns the least recently used session of its principal, which must end, if there are too many.
    pub(super) fn add(&self, session: Arc<Session>) -> Option<Arc<Session>> {
        let mut by_principal = self.lock();
        let sessions = by_principal.entry(session.principal().clone()).or_default();
        sessions.push(session);
        if sessions.len() <= self.most {
            return None;
        }
        let (oldest, _) = sessions.iter().enumerate().min_by_key(|(_, session)| session.used_at())?;
        Some(sessions.swap_remove(oldest))
    }

    /// Removes an ended session.
    pub(super) fn remove(&self, session: &Arc<Session>) {
        let mut by_principal = self.lock();
        let Some(sessions) = by_principal.get_mut(session.principal()) else { return };
        sessions.retain(|other| !Arc::ptr_eq(other, session));
        if sessions.is_empty() {
            by_principal.remove(session.principal());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Principal, Vec<Arc<Session>>>> {
        self.by_principal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
