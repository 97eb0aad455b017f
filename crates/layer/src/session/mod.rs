//! Session binding: a session id is valid only for the user that it was issued to.
//!
//! It applies to the protocol versions until 2025-11-25. Later versions have no sessions, so the header is removed before the inner
//! service could use it.

mod binding;
mod sessions;
mod shares;

pub use binding::SessionBinding;
pub(crate) use sessions::{Refusal, Sessions, is_modern};
