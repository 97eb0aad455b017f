//! Core types of Portcullis: tokens, scopes, user contexts, authentication errors and challenges.
//!
//! This crate is an implementation detail of [`portcullis`](https://docs.rs/portcullis): depend on `portcullis`, which re-exports it as
//! `portcullis::types`.
//!
//! **Authentication is a tower service from a token to a user**: [`VerifyToken`] is that service, [`BearerToken`] is its request, and
//! an `Arc<`[`UserContext`]`>` or an [`AuthError`] is its outcome. Everything else in the workspace is such a service, a
//! layer around one, or an adapter that puts one in front of HTTP.
//!
//! This crate does no I/O, needs no runtime and knows no framework.

mod auth_error;
mod bearer_token;
mod challenge;
mod challenge_parser;
mod fingerprint;
mod grant;
mod principal;
mod reason;
mod request_source;
mod revocation;
mod scope_set;
mod time;
mod upstream;
mod uri;
mod user_context;
mod verify_token;
pub mod wire;

pub use auth_error::{AuthError, AuthErrorKind, error_chain};
pub use bearer_token::{BearerToken, InvalidBearerToken};
pub use challenge::Challenge;
pub use challenge_parser::ParseChallengeError;
pub use fingerprint::{Fingerprint, FingerprintHasher, FingerprintState};
pub use grant::{Generation, GrantId, InvalidGrantId};
pub use principal::{Principal, PrincipalKind};
pub use reason::Reason;
pub use request_source::{RequestSource, forwarded_address};
pub use revocation::{Revocation, Revoked};
pub use scope_set::{InvalidScope, ScopeSet};
pub use time::{Clock, SystemClock, UnixTime};
pub use upstream::{AccessToken, Upstream, UpstreamFuture, UpstreamSource};
pub use uri::{InvalidUri, Issuer, ResourceUri};
pub use user_context::{UserContext, UserContextBuilder};
pub use verify_token::VerifyToken;
