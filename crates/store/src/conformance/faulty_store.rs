//! [`FaultyStore`]: a store that fails, waits or is interfered with on demand, for tests.

use std::{fmt, future::ready, sync::Arc, time::Duration};

use bytes::Bytes;
use portcullis_core::UnixTime;

use crate::{
    Collection, Events, Expected, Lease, LeaseOutcome, Position, RecordKey, Row, Store, StoreError, StoreFuture,
    StoredRow, Swap, Version,
};

/// A call of a [`FaultyStore`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Call {
    /// [`Store::load`] and [`Store::load_even_expired`].
    Load(RecordKey),
    /// [`Store::compare_and_swap`].
    Swap(RecordKey),
    /// [`Store::compare_and_remove`].
    Remove(RecordKey),
    /// [`Store::lease`].
    Lease(RecordKey),
    /// [`Store::renew`].
    Renew(RecordKey),
    /// [`Store::release`].
    Release(RecordKey),
    /// [`Store::expired`].
    Expired(Collection),
    /// [`Store::next_to_expire`].
    NextToExpire(Collection),
    /// [`Store::sweep`].
    Sweep(Collection),
    /// [`Store::count`].
    Count(Collection),
    /// [`Store::page`].
    Page(Collection),
    /// [`Store::append_event`].
    AppendEvent,
    /// [`Store::events_after`] and [`Store::last_position`].
    ReadEvents,
    /// [`Store::wait_for_events`].
    WaitForEvents,
}

type Hook = Arc<dyn Fn(Call) -> StoreFuture<'static, ()> + Send + Sync>;

/// A store around another one, with hooks that run before and after every call: a hook may wait, fail the call, or change the store.
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    before: Hook,
    after: Hook,
    is_durable: bool,
}

impl FaultyStore {
    /// Creates a store around `inner`. If `before` fails, the call fails and does nothing.
    #[must_use]
    pub fn new(inner: impl Store, before: impl Fn(Call) -> StoreFuture<'static, ()> + Send + Sync + 'static) -> Self {
        let is_durable = inner.is_durable();
        Self { inner: Arc::new(inner), before: Arc::new(before), after: Arc::new(|_| Self::pass()), is_durable }
    }

    /// Runs `after` once a call has been done. If it fails, the call fails, and has been done nevertheless.
    #[must_use]
    pub fn with_after(mut self, after: impl Fn(Call) -> StoreFuture<'static, ()> + Send + Sync + 'static) -> Self {
        self.after = Arc::new(after);
        self
    }

    /// Makes the store claim that its rows outlive the process.
    #[must_use]
    pub fn claim_durable(mut self) -> Self {
        self.is_durable = true;
        self
    }

    /// Returns the result of a hook that lets a call pass.
    #[must_use]
    pub fn pass() -> StoreFuture<'static, ()> {
        Box::pin(ready(Ok(())))
    }

    /// Returns the result of a hook that fails a call.
    #[must_use]
    pub fn fail(context: &'static str) -> StoreFuture<'static, ()> {
        Box::pin(ready(Err(StoreError::new(context))))
    }

    fn call<'a, T: Send + 'a>(&'a self, call: Call, work: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        Box::pin(async move {
            (self.before)(call).await?;
            let answer = work.await?;
            (self.after)(call).await?;
            Ok(answer)
        })
    }
}

impl Store for FaultyStore {
    fn load(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRow>> {
        self.call(Call::Load(key), self.inner.load(key))
    }

    fn load_even_expired(&self, key: RecordKey) -> StoreFuture<'_, Option<StoredRow>> {
        self.call(Call::Load(key), self.inner.load_even_expired(key))
    }

    fn compare_and_swap(
        &self,
        key: RecordKey,
        expected: Expected,
        new: Row,
        lease: Option<Lease>,
    ) -> StoreFuture<'_, Swap> {
        self.call(Call::Swap(key), self.inner.compare_and_swap(key, expected, new, lease))
    }

    fn compare_and_remove(&self, key: RecordKey, expected: Version) -> StoreFuture<'_, bool> {
        self.call(Call::Remove(key), self.inner.compare_and_remove(key, expected))
    }

    fn lease(&self, key: RecordKey, ttl: Duration) -> StoreFuture<'_, LeaseOutcome> {
        self.call(Call::Lease(key), self.inner.lease(key, ttl))
    }

    fn renew(&self, key: RecordKey, lease: Lease, ttl: Duration) -> StoreFuture<'_, bool> {
        self.call(Call::Renew(key), self.inner.renew(key, lease, ttl))
    }

    fn release(&self, key: RecordKey, lease: Lease) -> StoreFuture<'_, ()> {
        self.call(Call::Release(key), self.inner.release(key, lease))
    }

    fn expired(
        &self,
        collection: Collection,
        confirmed: UnixTime,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        self.call(Call::Expired(collection), self.inner.expired(collection, confirmed, limit))
    }

    fn next_to_expire(&self, collection: Collection, limit: usize) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        self.call(Call::NextToExpire(collection), self.inner.next_to_expire(collection, limit))
    }

    fn sweep(&self, collection: Collection, confirmed: UnixTime) -> StoreFuture<'_, u64> {
        self.call(Call::Sweep(collection), self.inner.sweep(collection, confirmed))
    }

    fn count(&self, collection: Collection) -> StoreFuture<'_, u64> {
        self.call(Call::Count(collection), self.inner.count(collection))
    }

    fn page(
        &self,
        collection: Collection,
        after: Option<RecordKey>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<(RecordKey, StoredRow)>> {
        self.call(Call::Page(collection), self.inner.page(collection, after, limit))
    }

    fn append_event(&self, event: Bytes) -> StoreFuture<'_, Position> {
        self.call(Call::AppendEvent, self.inner.append_event(event))
    }

    fn events_after(&self, after: Position, limit: usize) -> StoreFuture<'_, Events> {
        self.call(Call::ReadEvents, self.inner.events_after(after, limit))
    }

    fn last_position(&self) -> StoreFuture<'_, Position> {
        self.call(Call::ReadEvents, self.inner.last_position())
    }

    fn wait_for_events(&self, after: Position) -> StoreFuture<'_, ()> {
        self.call(Call::WaitForEvents, self.inner.wait_for_events(after))
    }

    fn is_durable(&self) -> bool {
        self.is_durable
    }

    fn close(&self) -> StoreFuture<'_, ()> {
        self.inner.close()
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultyStore").field(&self.inner).finish()
    }
}
