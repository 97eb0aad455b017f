//! [`Trial`]: a store on which one rule is tried.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use portcullis_core::{GrantId, UnixTime};

use super::Subject;
use crate::{Lease, LeaseOutcome, SealedGrant, StoreError, StoredRow, Swap, TokenStore, Version};

/// A store on which one rule is tried.
pub(super) struct Trial<'a, S: ?Sized = dyn TokenStore> {
    subject: &'a dyn Subject<S>,
    handles: Vec<Arc<S>>,
}

/// What was seen instead of what the rule says.
pub(super) struct Finding(pub(super) String);

pub(super) type Outcome = Result<(), Finding>;

/// Longer than any trial takes.
pub(super) const LONG: Duration = Duration::from_mins(10);

/// It runs out in a trial, when [`LATER`] has passed.
pub(super) const SHORT: Duration = Duration::from_secs(2);

/// Long enough for what is [`SHORT`] to be over.
pub(super) const LATER: Duration = Duration::from_secs(3);

impl From<StoreError> for Finding {
    fn from(error: StoreError) -> Self {
        Self(format!("a call failed: {error}"))
    }
}

/// What was seen must be as it is expected.
pub(super) fn expect(as_expected: bool, instead: &str) -> Outcome {
    if as_expected { Ok(()) } else { Err(Finding(instead.to_owned())) }
}

/// The id of a number.
pub(super) fn id(number: u8) -> GrantId {
    GrantId::from_bytes([number; 16])
}

/// A row that stays.
pub(super) fn row(content: impl Into<Bytes>) -> SealedGrant {
    SealedGrant::new(content.into(), None)
}

impl<'a, S: ?Sized> Trial<'a, S> {
    pub(super) async fn new(subject: &'a dyn Subject<S>) -> Self {
        Self { subject, handles: subject.fresh().await }
    }

    /// The handle of the one who acts.
    pub(super) fn store(&self) -> &S {
        &self.handles[0]
    }

    /// The handle of somebody else.
    pub(super) fn other(&self) -> &S {
        &self.handles[self.handles.len() - 1]
    }

    /// The handle of one of many.
    pub(super) fn one_of_many(&self, number: usize) -> Arc<S> {
        Arc::clone(&self.handles[number % self.handles.len()])
    }

    /// When what is [`SHORT`] is over, in whole seconds: some databases know no others.
    pub(super) fn soon(&self) -> UnixTime {
        UnixTime::from_secs((self.subject.clock().now() + SHORT).as_secs())
    }

    pub(super) async fn later(&self) {
        self.subject.advance(LATER).await;
    }

    /// Whether the clock could be put back.
    pub(super) async fn earlier(&self, by: Duration) -> bool {
        self.subject.put_back(by).await
    }
}

impl Trial<'_> {
    pub(super) async fn create(&self, id: GrantId, grant: SealedGrant) -> Result<Version, Finding> {
        written(self.store().compare_and_swap(id, None, grant, None).await?)
    }

    pub(super) async fn replace(&self, id: GrantId, version: Version, grant: SealedGrant) -> Result<Version, Finding> {
        written(self.store().compare_and_swap(id, Some(version), grant, None).await?)
    }

    /// A row that must be there.
    pub(super) async fn load(&self, id: GrantId) -> Result<StoredRow, Finding> {
        self.other().load(id).await?.ok_or_else(|| Finding("a row is gone".to_owned()))
    }

    /// A lease that must be free.
    pub(super) async fn lease(&self, id: GrantId, ttl: Duration) -> Result<Lease, Finding> {
        match self.store().lease(id, ttl).await? {
            LeaseOutcome::Acquired(lease) => Ok(lease),
            LeaseOutcome::Held => Err(Finding("a lease is held that nobody has".to_owned())),
        }
    }

    /// Whether somebody else is told that it is held.
    pub(super) async fn is_held(&self, id: GrantId) -> Result<bool, Finding> {
        Ok(self.other().lease(id, LONG).await? == LeaseOutcome::Held)
    }
}

/// A write that must succeed.
pub(super) fn written(swap: Swap) -> Result<Version, Finding> {
    match swap {
        Swap::Written(version) => Ok(version),
        Swap::Conflict => Err(Finding("a write is refused (Conflict) although nothing is in its way".to_owned())),
        Swap::Fenced => Err(Finding("a write is refused (Fenced) although nobody else has got the lease".to_owned())),
    }
}
