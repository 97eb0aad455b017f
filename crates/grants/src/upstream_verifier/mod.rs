//! Who is calling, found out with the token of the provider behind this server.

mod layer;
mod outage;
mod service;

pub use layer::UpstreamLayer;
pub use service::UpstreamVerifier;
