//! Dynamic client registration: a client says what it is, and is given a name.
//!
//! [RFC 7591](https://www.rfc-editor.org/rfc/rfc7591); MCP, Dynamic Client Registration.

mod policy;

pub use policy::RegistrationPolicy;
