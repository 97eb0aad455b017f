//! The endpoints, a file each.

mod authorize;
mod body;
mod callback;
mod consent;
mod detached;
mod introspect;
mod jwks;
mod metadata;
mod register;
mod revoke;
mod router;
mod to_user;
mod token;

pub(crate) use body::{form, is_of_type, read};
pub(crate) use detached::detached;
pub(crate) use router::router;
