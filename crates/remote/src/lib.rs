//! The keys of an issuer, and where it says that they are.
//!
//! Choosing a key is pure ([`KeySet`](portcullis_oauth::jwt::KeySet)); [`RemoteKeySet`] contains one and knows when to
//! fetch it again. Access tokens, ID tokens and assertions are verified by it alike; what each must say is for its policy
//! ([`portcullis_oauth::jwt`]).

mod discovery;
mod location;
mod remote;
mod schedule;
mod snapshot;
mod telemetry;
mod verification;

pub use discovery::discover;
pub use remote::RemoteKeySet;
pub use verification::Verification;
