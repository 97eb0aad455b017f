//! [`Subject`]: what is judged.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use portcullis_core::Clock;

use crate::TokenStore;

/// Future of a [`Subject`].
pub type SubjectFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is judged: how to get a store, and how to make time pass for it. A store of grants, unless another kind is named.
pub trait Subject<S: ?Sized = dyn TokenStore>: Sync {
    /// A new store without rows, by at least one handle. Several are taken for what several processes have: each is to reach the
    /// same rows, by a connection of its own.
    fn fresh(&self) -> SubjectFuture<'_, Vec<Arc<S>>>;

    /// What time it is for the store.
    fn clock(&self) -> &dyn Clock;

    /// Makes time pass for the store. One that has the time from elsewhere sleeps: it is never asked for more than a few seconds
    /// at once.
    fn advance(&self, by: Duration) -> SubjectFuture<'_, ()>;

    /// Puts the clock of the store back, as happens to a machine whose clock was fast. Whether that can be done: what a store
    /// does then is not judged if it has the time from elsewhere.
    fn put_back(&self, by: Duration) -> SubjectFuture<'_, bool> {
        let _ = by;
        Box::pin(std::future::ready(false))
    }
}
