//! The suites that judge every store, for stores of your own: every rule of the contract, tried out. [`check`] judges a store of
//! [grants](crate::TokenStore), and [`records::check`] one of [records](crate::records::RecordStore).
//!
//! They do not check what only the store can know: that what it says is written survives the process and the machine, and what
//! it does when its disk is full or its server is away.
//!
//! ```
//! use std::{future::ready, sync::Arc, time::Duration};
//!
//! use portcullis_core::Clock;
//! use portcullis_grants::{
//!     MemoryStore,
//!     conformance::{Subject, SubjectFuture, check},
//! };
//! use portcullis_testkit::TestClock;
//!
//! struct Memory(TestClock);
//!
//! impl Subject for Memory {
//!     fn fresh(&self) -> SubjectFuture<'_, Vec<Arc<dyn portcullis_grants::TokenStore>>> {
//!         Box::pin(ready(vec![Arc::new(MemoryStore::new(Arc::new(self.0.clone()))) as _]))
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
//!     fn put_back(&self, by: Duration) -> SubjectFuture<'_, bool> {
//!         self.0.step_back(by);
//!         Box::pin(ready(true))
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! check(&Memory(TestClock::new())).await?;
//! # Ok::<_, portcullis_grants::conformance::Violations>(())
//! # }).unwrap();
//! ```

mod leases;
mod races;
pub mod records;
mod rows;
mod subject;
mod suite;
#[cfg(test)]
mod tests;
mod times;
mod trial;

pub use subject::{Subject, SubjectFuture};
pub use suite::{Violation, Violations, check};
