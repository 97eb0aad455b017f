//! Asking an authorization server about a token: [RFC 7662](https://www.rfc-editor.org/rfc/rfc7662).
//!
//! [`request`] asks, [`process`] reads the answer, [`IntrospectionPolicy::check`] decides: *active* does not mean *for us*.
//! Answers as signed JWTs ([RFC 9701](https://www.rfc-editor.org/rfc/rfc9701)) are not supported and count as no answer.

mod message;
mod policy;
#[cfg(test)]
mod tests;

pub use message::{IntrospectionResponse, process, process_for, refresh_token_request, request};
pub use policy::IntrospectionPolicy;
