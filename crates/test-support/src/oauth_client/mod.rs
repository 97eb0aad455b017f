//! [`OAuthClient`]: a client of an authorization server, well-behaved or hostile.

mod answer;
mod authorization;
mod call;
mod client;
mod client_error;
mod discovery;
mod log_in;

pub use answer::Answer;
pub use authorization::Authorization;
pub use call::Call;
pub use client::OAuthClient;
pub use client_error::ClientError;
