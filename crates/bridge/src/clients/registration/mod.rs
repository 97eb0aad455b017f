//! Dynamic client registration.
//!
//! [RFC 7591](https://www.rfc-editor.org/rfc/rfc7591); MCP, Dynamic Client Registration.

mod policy;
mod registrations;
mod request;
mod response;

pub use policy::RegistrationPolicy;
pub(super) use registrations::{Registration, Registrations};
use request::{Method, RegistrationRequest};
pub(crate) use response::RegisteredClient;
