//! For tests of servers that stand behind Portcullis: no network, no waiting, every failure at the flick of a switch.
//!
//! - [`IdentityProvider`]: a fake authorization server, as a tower service or on a loopback socket. It issues tokens,
//!   good and forged, rotates refresh tokens, speaks as a [`Vendor`] does, and misbehaves on demand.
//! - [`Network`]: where the requests of a test go, to services of the process or to sockets.
//! - [`Browser`]: a browser without a window, for logins.
//! - [`OAuthClient`]: a client of an authorization server, well-behaved or hostile.
//! - [`TestClock`]: calendar time that a test sets, and that follows tokio's paused time.
//! - [`StrictService`]: an inner service that insists on tower's contract.

mod browser;
mod fields;
mod identity_provider;
mod network;
mod oauth_client;
mod strict_service;
mod test_clock;

pub use browser::{Arrival, Browser, BrowserError, Cookie, Page, Submission};
pub use identity_provider::{
    AuthorizationResponse, Disconnected, Endpoint, ErrorClass, Fault, IdentityProvider, IssuedGrant, KeyAlgorithm,
    LoginPolicy, RunningIdentityProvider, SeenRequest, TokenBuilder, TokenPolicy, Vendor,
};
pub use network::{Network, NetworkError};
pub use oauth_client::{Answer, Authorization, Call, ClientError, OAuthClient};
pub use strict_service::{StrictFuture, StrictService};
pub use test_clock::TestClock;

/// The code of the page on testing, which is compiled and run as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/testing.md")]
struct Testing;
