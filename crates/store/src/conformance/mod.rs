//! The suite that judges every store, for stores of your own: every rule of the [contract](crate::Store), tried out.
//!
//! It does not check what only the store can know: that what it reports as written survives the process and the machine, and what it
//! does when its disk is full or its server is away.
//!
//! ```
//! use std::{future::ready, sync::Arc, time::Duration};
//!
//! use portcullis_core::Clock;
//! use portcullis_store::{
//!     MemoryStore, Store,
//!     conformance::{Subject, SubjectFuture, check},
//! };
//! use portcullis_testkit::TestClock;
//!
//! struct Memory(TestClock);
//!
//! impl Subject for Memory {
//!     fn fresh(&self) -> SubjectFuture<'_, Vec<Arc<dyn Store>>> {
//!         Box::pin(ready(vec![Arc::new(MemoryStore::new().with_clock(Arc::new(self.0.clone()))) as _]))
//!     }
//!
//!     fn clock(&self) -> &dyn Clock {
//!         &self.0
//!     }
//!
//!     fn advance(&self, by: Duration) -> SubjectFuture<'_, ()> {
//!         self.0.advance(by);
//!         Box::pin(ready(()))
//!     }
//!
//!     fn set_back(&self, by: Duration) -> SubjectFuture<'_, bool> {
//!         self.0.step_back(by);
//!         Box::pin(ready(true))
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! check(&Memory(TestClock::new())).await?;
//! # Ok::<_, portcullis_store::conformance::Violations>(())
//! # }).unwrap();
//! ```

mod collections;
mod expiry;
mod faulty_store;
mod feed;
#[cfg(test)]
mod flawed_store;
mod leases;
mod races;
mod rows;
mod suite;
#[cfg(test)]
mod tests;
mod trial;

pub use faulty_store::{Call, FaultyStore};
pub use suite::{Subject, SubjectFuture, Violation, Violations, check};
