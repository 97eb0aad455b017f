//! Speaking with a provider: codes are redeemed, refresh tokens presented, users looked up, grants revoked.
//!
//! What is said stands in [`portcullis_oauth::providers`]; here it is sent, and what became of it is judged.

mod client;
mod exchange;
mod failure;
mod inquiry;
mod line;
mod profile_verifier;

pub use client::ProviderClient;
pub use profile_verifier::ProfileVerifier;
