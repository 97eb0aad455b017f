//! [`StoppingStore`]: a store in a process that is to die between the answer to an exchange and its save.

use std::{future::pending, time::Duration};

use portcullis::{
    grants::{Lease, LeaseOutcome, SealedGrant, StoreFuture, StoredRow, Swap, TokenStore, Version},
    types::GrantId,
};

use crate::{commands::Report, worker::say};

/// Says when tokens are to be written, and never writes them.
#[derive(Debug)]
pub(crate) struct StoppingStore<S>(pub(crate) S);

impl<S: TokenStore> TokenStore for StoppingStore<S> {
    fn load(&self, id: GrantId) -> StoreFuture<'_, Option<StoredRow>> {
        self.0.load(id)
    }

    fn compare_and_swap(
        &self,
        _: GrantId,
        _: Option<Version>,
        _: SealedGrant,
        _: Option<Lease>,
    ) -> StoreFuture<'_, Swap> {
        say(&Report::Saving);
        Box::pin(pending())
    }

    fn compare_and_remove(&self, id: GrantId, expected: Version) -> StoreFuture<'_, bool> {
        self.0.compare_and_remove(id, expected)
    }

    fn lease(&self, id: GrantId, ttl: Duration) -> StoreFuture<'_, LeaseOutcome> {
        self.0.lease(id, ttl)
    }

    fn renew(&self, id: GrantId, lease: Lease, ttl: Duration) -> StoreFuture<'_, bool> {
        self.0.renew(id, lease, ttl)
    }

    fn release(&self, id: GrantId, lease: Lease) -> StoreFuture<'_, ()> {
        self.0.release(id, lease)
    }

    fn sweep(&self) -> StoreFuture<'_, u64> {
        self.0.sweep()
    }

    fn page(&self, after: Option<GrantId>, limit: usize) -> StoreFuture<'_, Vec<(GrantId, StoredRow)>> {
        self.0.page(after, limit)
    }

    fn is_durable(&self) -> bool {
        true
    }
}
