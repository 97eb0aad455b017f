//! The grants, the client of the token endpoint, and proofs of possession.

#![expect(clippy::unwrap_used, reason = "tests")]

mod cross_app_access;
mod dpop;
mod grants;
mod server;
mod sources;
mod token_endpoint;
