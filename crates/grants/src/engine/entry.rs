//! [`Cell`]: the slot of one grant, shared by all who ask for its tokens.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::{BoxFuture, Shared};
use portcullis_core::{AuthError, GrantId, Revocation};

use super::state::{Flight, Slot};
use crate::{Lease, TokenSet};

/// A flight to wait for. Dropping it cancels nothing.
pub(crate) type Waiting = Shared<BoxFuture<'static, Result<Arc<TokenSet>, AuthError>>>;

impl Flight for Waiting {
    fn is_lost(&self) -> bool {
        // One that lands takes itself out of the slot before it is done.
        self.peek().is_some()
    }
}

/// The slot of one grant, shared by all who ask for its tokens. The lock is never held across an await.
pub(crate) struct Cell {
    pub(crate) id: GrantId,
    /// Revoked when the grant has ended.
    pub(crate) end: Arc<Revocation>,
    slot: Mutex<Slot<Waiting>>,
    /// What the grant is reserved by while its tokens wait to be saved. The next exchange of this process takes it over.
    lease: Mutex<Option<Lease>>,
}

impl Cell {
    pub(super) fn new(id: GrantId) -> Self {
        Self { id, end: Arc::default(), slot: Mutex::new(Slot::new()), lease: Mutex::default() }
    }

    pub(super) fn slot(&self) -> MutexGuard<'_, Slot<Waiting>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lease(&self) -> MutexGuard<'_, Option<Lease>> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell").field("id", &self.id).finish_non_exhaustive()
    }
}
