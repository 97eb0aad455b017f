//! [`Shares`]: how many sessions each principal has.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portcullis_core::Principal;

use super::entry::Session;

/// The sessions of each principal, bounded: one that opens too many ends its own.
///
/// Asked when a session begins and when it ends, never by a request that uses one.
#[derive(Debug)]
pub(super) struct Shares {
    by_principal: Mutex<HashMap<Principal, Vec<Arc<Session>>>>,
    most: usize,
}

impl Shares {
    pub(super) fn new(most: usize) -> Self {
        Self { by_principal: Mutex::default(), most }
    }

    /// Adds `session`. If its principal has too many now, the one that was unused for longest is to end.
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

    /// Removes `session`, which has ended.
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
