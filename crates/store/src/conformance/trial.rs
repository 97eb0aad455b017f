//! [`Trial`]: a store on which one rule is tried.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use portcullis_core::UnixTime;

use super::Subject;
use crate::{Collection, Expected, Lease, LeaseOutcome, RecordKey, Row, Store, StoreError, StoredRow, Swap, Version};

/// A store on which one rule is tried.
pub(super) struct Trial<'a> {
    subject: &'a dyn Subject,
    handles: Vec<Arc<dyn Store>>,
}

/// What was seen instead of what the rule says.
pub(super) struct Finding(pub(super) String);

pub(super) type Outcome = Result<(), Finding>;

pub(super) const FIRST: Collection = Collection::new(201, "first");
pub(super) const SECOND: Collection = Collection::new(202, "second");
pub(super) const THIRD: Collection = Collection::new(203, "third");
pub(super) const ALL: [Collection; 3] = [FIRST, SECOND, THIRD];

/// Longer than a trial takes.
pub(super) const LONG: Duration = Duration::from_mins(10);

/// Expires in a trial, when [`LATER`] has passed.
pub(super) const SHORT: Duration = Duration::from_secs(2);

/// Long enough for what is [`SHORT`] to expire.
const LATER: Duration = Duration::from_secs(3);

/// After the end of every trial.
pub(super) const IN_2100: UnixTime = UnixTime::from_secs(4_102_444_800);

impl From<StoreError> for Finding {
    fn from(error: StoreError) -> Self {
        Self(format!("a call failed: {error}"))
    }
}

/// Checks that what was seen is as expected.
pub(super) fn expect(as_expected: bool, instead: &str) -> Outcome {
    if as_expected { Ok(()) } else { Err(Finding(instead.to_owned())) }
}

/// The key of a number.
pub(super) fn key(number: u8) -> RecordKey {
    RecordKey::new(FIRST, [number; 32])
}

/// A row that does not expire in the trial.
pub(super) fn row(content: impl Into<Bytes>) -> Row {
    Row::new(content.into(), IN_2100)
}

impl<'a> Trial<'a> {
    pub(super) async fn new(subject: &'a dyn Subject) -> Self {
        Self { subject, handles: subject.fresh().await }
    }

    /// The handle of the process that acts.
    pub(super) fn store(&self) -> &dyn Store {
        &*self.handles[0]
    }

    /// The handle of another process.
    pub(super) fn other(&self) -> &dyn Store {
        &*self.handles[self.handles.len() - 1]
    }

    /// The handle of one of many processes.
    pub(super) fn one_of_many(&self, number: usize) -> Arc<dyn Store> {
        Arc::clone(&self.handles[number % self.handles.len()])
    }

    /// When what is [`SHORT`] expires, in whole seconds: some databases have no better resolution.
    pub(super) fn soon(&self) -> UnixTime {
        UnixTime::from_secs((self.subject.clock().now() + SHORT).as_secs())
    }

    /// A row that expires in the trial.
    pub(super) fn short(&self) -> Row {
        Row::new("short".into(), self.soon())
    }

    pub(super) async fn later(&self) {
        self.subject.advance(LATER).await;
    }

    /// Sets the clock back. Reports whether that is possible.
    pub(super) async fn earlier(&self, by: Duration) -> bool {
        self.subject.set_back(by).await
    }

    pub(super) async fn create(&self, key: RecordKey, row: Row) -> Result<Version, Finding> {
        self.swap(key, Expected::Absent, row).await
    }

    pub(super) async fn replace(&self, key: RecordKey, version: Version, row: Row) -> Result<Version, Finding> {
        self.swap(key, Expected::Unexpired(version), row).await
    }

    pub(super) async fn swap(&self, key: RecordKey, expected: Expected, row: Row) -> Result<Version, Finding> {
        written(self.store().compare_and_swap(key, expected, row, None).await?)
    }

    /// A row that must be found.
    pub(super) async fn load(&self, key: RecordKey) -> Result<StoredRow, Finding> {
        self.other().load(key).await?.ok_or_else(|| Finding("a row is gone".to_owned()))
    }

    /// A lease that must be free.
    pub(super) async fn lease(&self, key: RecordKey, ttl: Duration) -> Result<Lease, Finding> {
        match self.store().lease(key, ttl).await? {
            LeaseOutcome::Acquired(lease) => Ok(lease),
            LeaseOutcome::Held => Err(Finding("a lease is held that no process has".to_owned())),
        }
    }

    /// Reports whether another process is told that the lease is held.
    pub(super) async fn is_held(&self, key: RecordKey) -> Result<bool, Finding> {
        Ok(self.other().lease(key, LONG).await? == LeaseOutcome::Held)
    }
}

/// A write that must succeed.
pub(super) fn written(swap: Swap) -> Result<Version, Finding> {
    match swap {
        Swap::Written(version) => Ok(version),
        Swap::Conflict => Err(Finding("a write is refused (Conflict) although nothing is in its way".to_owned())),
        Swap::Fenced => Err(Finding("a write is refused (Fenced) although no other process has the lease".to_owned())),
    }
}
