//! Assertions: JWTs by which clients authenticate at *this* authorization server, or request tokens on behalf of a user.
//!
//! [RFC 7521](https://www.rfc-editor.org/rfc/rfc7521), [RFC 7523](https://www.rfc-editor.org/rfc/rfc7523) and its successor in
//! draft (draft-ietf-oauth-rfc7523bis), and the Identity Assertion Authorization Grant
//! (draft-ietf-oauth-identity-assertion-authz-grant), on which MCP's Enterprise-Managed Authorization rests.
//!
//! They are processed like [access tokens](crate::jwt): [`parse`]d, checked by their header, verified with a key of their issuer, and
//! checked by their claims. Each is valid **once**: the component that accepts an assertion stores its `jti` until the time that the
//! evidence gives. This module stores nothing.

mod client;
mod common;
mod id_jag;

pub use client::{ClientAssertion, ClientAssertionPolicy};
pub use common::parse;
pub use id_jag::{IdJag, IdJagPolicy};
