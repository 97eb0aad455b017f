//! The OAuth client of a provider: logins, refreshes, profiles and revocation.
//!
//! The messages are built and processed by [`portcullis_oauth::providers`]; here they are sent, and errors are classified.

mod client;
mod login;
mod login_error;
mod profile_verifier;
mod refresh;

pub use client::ProviderClient;
pub use login::Login;
pub use login_error::{LoginError, LoginErrorKind, LoginStep};
pub use profile_verifier::ProfileVerifier;
