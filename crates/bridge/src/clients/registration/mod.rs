//! Dynamic client registration: a client says what it is, and is given a name.
//!
//! [RFC 7591](https://www.rfc-editor.org/rfc/rfc7591); MCP, Dynamic Client Registration.

mod answer;
mod application_type;
mod policy;
mod registrations;
mod request;
mod row;

pub(crate) use answer::Registered;
use application_type::ApplicationType;
pub use policy::RegistrationPolicy;
pub(super) use registrations::Registrations;
use request::{Method, RegistrationRequest};
pub(super) use row::{Registration, key as registration_key};
