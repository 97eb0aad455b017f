//! The endpoints, a file each.

mod body;
mod detached;
mod introspect;
mod metadata;
mod router;
mod token;

pub(crate) use body::{form, read};
pub(crate) use detached::detached;
pub use introspect::ResourceServer;
pub(crate) use router::router;
