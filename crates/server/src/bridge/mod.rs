//! mode = "bridge": tokens of our own, after a login at a provider.
//!
//! [`start()`] puts it together, once the [`store`] is open and the [`provider`] found.

mod provider;
mod start;
mod store;

pub(crate) use start::start;
pub(crate) use store::{OpenStore, OpenStoreError};
