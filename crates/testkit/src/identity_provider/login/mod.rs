//! The authorization endpoint: a login page, and the way back to the client.

mod page;
mod policy;
mod process;
mod request;
mod response;

pub use policy::LoginPolicy;
pub(super) use process::authorize;
pub use response::AuthorizationResponse;
