//! The keys of an issuer, kept up to date.
//!
//! Choosing a key is pure ([`KeySet`](portcullis_oauth::jwt::KeySet)); [`RemoteKeySet`] contains one and knows when to
//! fetch it again.

mod location;
mod remote;
mod schedule;
mod snapshot;
mod telemetry;

pub use remote::RemoteKeySet;
pub(crate) use remote::Verification;
