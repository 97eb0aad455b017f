//! For tests of servers that use Portcullis, without a network and without waiting.
//!
//! - [`IdentityProvider`]: a fake authorization server, as a tower service or on a loopback socket. It issues valid and
//!   forged tokens, rotates refresh tokens, imitates a [`Vendor`], and fails on demand.
//! - [`TestClock`]: calendar time that a test sets, and that follows tokio's paused time.
//! - [`StrictService`]: an inner service that enforces tower's contract.

mod identity_provider;
mod strict_service;
mod test_clock;

pub use identity_provider::{
    AuthorizationResponse, Disconnected, Endpoint, ErrorClass, Fault, IdentityProvider, IssuedGrant, KeyAlgorithm,
    LoginPolicy, RunningIdentityProvider, SeenRequest, TokenBuilder, TokenPolicy, Vendor,
};
pub use strict_service::{StrictFuture, StrictService};
pub use test_clock::TestClock;

/// The code of the page on testing, which is compiled and run as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/testing.md")]
struct Testing;
