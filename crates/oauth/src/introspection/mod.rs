//! Token introspection: [RFC 7662](https://www.rfc-editor.org/rfc/rfc7662).
//!
//! [`request`] builds the request, [`process`] reads the response, and [`IntrospectionPolicy::check`] decides: an *active* token may have
//! been issued for another resource. Responses as signed JWTs ([RFC 9701](https://www.rfc-editor.org/rfc/rfc9701)) are **not** supported.

mod message;
mod policy;
#[cfg(test)]
mod tests;

pub use message::{IntrospectionResponse, process, process_for, refresh_token_request, request};
pub use policy::IntrospectionPolicy;
