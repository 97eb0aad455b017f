//! [`Network`]: where the requests of a test go.

mod error;
mod route;
mod socket;

pub use error::NetworkError;
pub use route::Network;
