//! [`TokenStore`]: where grants are kept, sealed.

use std::{error::Error, fmt, future::Future, pin::Pin, time::Duration};

use bytes::Bytes;
use portcullis_core::{AuthError, GrantId, Reason, UnixTime};

/// Future of a [`TokenStore`].
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where grants are kept. It sees sealed bytes only, and decides who was first.
///
/// The contract, which `conformance` (behind the feature of that name) checks for any store:
///
/// 1. [`compare_and_swap`](Self::compare_and_swap) is atomic: of any number at once with the same version one succeeds. What it
///    says is written is durable.
/// 2. The version of a row grows with every write and never comes back, not even after the row was removed.
/// 3. A lease is held by one at a time until it is given back or its time is over. Each has a higher fence than the one before it,
///    and a write under a lease that was given back, or that somebody else has got since, is refused. A lease whose end lies
///    further ahead than twice what is asked for is over as well: the clock has been put back, and would keep it for as long.
///    So nobody asks for more than twice as long as others do.
/// 4. Nothing is removed unless it is still what was seen.
pub trait TokenStore: fmt::Debug + Send + Sync + 'static {
    /// The row of `id`, if there is one and its time is not over.
    fn load(&self, id: GrantId) -> StoreFuture<'_, Option<StoredRow>>;

    /// Writes the row of `id` if it is still in version `expected` (`None`: if there is none), and, if it is done under a
    /// lease, if that was not given back and nobody else has got one since. A write gives the lease back in the same step; a
    /// refusal leaves everything as it is.
    ///
    /// A row whose time is over is as good as none, and still in its version: whoever has new tokens for it may write them.
    fn compare_and_swap(
        &self,
        id: GrantId,
        expected: Option<Version>,
        new: SealedGrant,
        lease: Option<Lease>,
    ) -> StoreFuture<'_, Swap>;

    /// Removes the row of `id` if it is still in version `expected`. Whether it was.
    fn compare_and_remove(&self, id: GrantId, expected: Version) -> StoreFuture<'_, bool>;

    /// Reserves `id` for `ttl`: for a refresh, across processes. It reserves ids without a row as well.
    fn lease(&self, id: GrantId, ttl: Duration) -> StoreFuture<'_, LeaseOutcome>;

    /// Prolongs a lease to `ttl` from now, even if its time is over. `false` if it was given back, or if somebody else has got
    /// one since.
    fn renew(&self, id: GrantId, lease: Lease, ttl: Duration) -> StoreFuture<'_, bool>;

    /// Gives a lease back. One that is somebody else's by now stays as it is.
    fn release(&self, id: GrantId, lease: Lease) -> StoreFuture<'_, ()>;

    /// Removes the rows whose time is over. How many. Leases whose time is over are forgotten if there is no row: nobody asks
    /// whether they were abandoned.
    fn sweep(&self) -> StoreFuture<'_, u64>;

    /// The rows after `after` whose time is not over, in the order of their ids, at most `limit`: for sealing everything anew.
    fn page(&self, after: Option<GrantId>, limit: usize) -> StoreFuture<'_, Vec<(GrantId, StoredRow)>>;

    /// Whether rows are still there after the process has ended.
    fn is_durable(&self) -> bool;
}

/// Which state of a row is meant. It grows with every write of the row; nothing else about the number means anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version(u64);

impl Version {
    /// The version of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A row as it is written.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealedGrant {
    /// The sealed record.
    pub sealed: Bytes,
    /// When the row is of no use any more and may be swept; `None`: never.
    pub expires_at: Option<UnixTime>,
}

impl SealedGrant {
    /// A row of `sealed` bytes until `expires_at`.
    #[must_use]
    pub const fn new(sealed: Bytes, expires_at: Option<UnixTime>) -> Self {
        Self { sealed, expires_at }
    }
}

impl fmt::Debug for SealedGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedGrant").field("len", &self.sealed.len()).field("expires_at", &self.expires_at).finish()
    }
}

/// A row as it is read.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct StoredRow {
    /// Which state of it this is.
    pub version: Version,
    /// What is in it.
    pub grant: SealedGrant,
}

impl StoredRow {
    /// `grant` in this version.
    #[must_use]
    pub const fn new(version: Version, grant: SealedGrant) -> Self {
        Self { version, grant }
    }
}

/// What became of a [`compare_and_swap`](TokenStore::compare_and_swap).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Swap {
    /// Written, and durable.
    Written(Version),
    /// Not written: the row is not in the version expected, or not there.
    Conflict,
    /// Not written: the lease was given back, or somebody else has got one since.
    Fenced,
}

/// A reservation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Lease {
    /// Higher than that of every lease of this row before it.
    pub fence: u64,
    /// The one before it was never given back: whoever had it may have presented the refresh token and died.
    pub after_abandoned: bool,
}

impl Lease {
    /// A lease with this fence.
    #[must_use]
    pub const fn new(fence: u64, after_abandoned: bool) -> Self {
        Self { fence, after_abandoned }
    }
}

/// What became of a [`lease`](TokenStore::lease).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LeaseOutcome {
    /// It is ours.
    Acquired(Lease),
    /// Somebody else has it.
    Held,
}

/// The store cannot be read or written. It says what was attempted and why that failed; it names no token, and may be logged.
#[derive(Debug, thiserror::Error)]
#[error("the store failed: {context}{cause}", cause = source.as_ref().map(|source| format!(": {source}")).unwrap_or_default())]
pub struct StoreError {
    context: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What a request is refused with for it: 503.
impl From<StoreError> for AuthError {
    fn from(error: StoreError) -> Self {
        Self::new(Reason::StoreUnavailable).with_source(error)
    }
}

impl StoreError {
    /// What was attempted.
    #[must_use]
    pub const fn new(context: &'static str) -> Self {
        Self { context, source: None }
    }

    /// What lies behind it. It must not contain a secret: it is logged.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}
