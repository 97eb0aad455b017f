//! Assertions: JWTs presented to *this* authorization server, by clients that say who they are or on whose behalf they come.
//!
//! [RFC 7521](https://www.rfc-editor.org/rfc/rfc7521), [RFC 7523](https://www.rfc-editor.org/rfc/rfc7523) and its successor in
//! draft (draft-ietf-oauth-rfc7523bis), and the Identity Assertion Authorization Grant
//! (draft-ietf-oauth-identity-assertion-authz-grant), on which MCP's Enterprise-Managed Authorization rests.
//!
//! They go the way of [access tokens](crate::jwt): [`parse`]d, screened, verified by a key of their issuer, checked. Each is good
//! **once**: whoever accepts one remembers its `jti` until the instant that the evidence tells. Nothing here remembers anything.

mod client;
mod id_jag;
mod parse;
mod rules;

pub use client::{ClientAssertion, ClientAssertionPolicy};
pub use id_jag::{IdJag, IdJagPolicy};
pub use parse::parse;
