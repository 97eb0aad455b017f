//! The endpoints, a file each.

mod body;
mod detached;
mod introspect;
mod jwks;
mod metadata;
mod revoke;
mod router;
mod token;

pub(crate) use body::{form, read};
pub(crate) use detached::detached;
pub(crate) use router::router;
