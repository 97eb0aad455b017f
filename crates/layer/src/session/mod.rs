//! Session binding: a session id works only for whoever it was given to.
//!
//! For the wire until 2025-11-25. The later one has no sessions, so there the header is removed before the inner service
//! could take it for one.

mod binding;
mod entry;
mod sessions;
mod shares;

pub use binding::SessionBinding;
pub(crate) use sessions::{Refusal, Sessions};
