//! How a client proves who it is at the token endpoint: by a secret, by a signature, or not at all.
//!
//! [RFC 6749 section 2.3](https://www.rfc-editor.org/rfc/rfc6749#section-2.3),
//! [RFC 7523 section 2.2](https://www.rfc-editor.org/rfc/rfc7523#section-2.2).

mod assertions;
mod credentials;

pub(super) use assertions::ClientAssertions;
pub(super) use credentials::{Credentials, Proof};
