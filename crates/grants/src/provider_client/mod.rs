//! Speaking with a provider: users are logged in, codes redeemed, refresh tokens presented, users looked up, grants revoked.
//!
//! What is said stands in [`portcullis_oauth::providers`]; here it is sent, and what became of it is judged.

mod accepted;
mod client;
mod exchange;
mod failure;
mod fresh_tokens;
mod id_tokens;
mod inquiry;
mod line;
mod login;
mod login_error;
mod presented;
mod profile_verifier;

pub use client::ProviderClient;
pub use login::Login;
pub use login_error::{LoginError, LoginErrorKind, LoginStep};
pub use profile_verifier::ProfileVerifier;
