//! Verifying JWTs by the keys of their issuer.

mod future;
mod keys;
mod verifier;

pub use future::JwtFuture;
pub use keys::KeySource;
pub use verifier::JwtVerifier;
