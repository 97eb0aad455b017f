//! The endpoints and their routes.

mod login;
mod register;
mod router;
mod tokens;

pub(crate) use router::router;
