//! [`OAuthClient`]: a client of an authorization server, well-behaved or hostile.

mod authorization;
mod call;
mod client;

pub use authorization::Authorization;
pub use call::{Answer, Call, ClientError};
pub use client::OAuthClient;
