//! Tower layers that authenticate the requests to an MCP server.
//!
//! This crate is an implementation detail of [`portcullis`](https://docs.rs/portcullis): depend on `portcullis`, which re-exports it as
//! `portcullis::layer`.
//!
//! [`AuthLayer`] processes a request in these steps:
//!
//! 1. a request for the metadata of the resource ([RFC 9728](https://www.rfc-editor.org/rfc/rfc9728)) is answered at once; one for another
//!    document below `/.well-known/`, without a token, is answered with 404;
//! 2. a CORS preflight passes, because it cannot carry a token;
//! 3. a request without a bearer token, or with a malformed one, is rejected with a challenge;
//! 4. the [verifier](portcullis_core::VerifyToken) returns the user, or the reason why the request is rejected;
//! 5. a request is rejected if its token lacks a scope that every request needs, or its `Mcp-Session-Id` belongs to another user;
//! 6. the `Authorization` header is removed, `Arc<UserContext>` is inserted into the extensions, and the inner service is called.
//!
//! It does **not** check `Host` and `Origin` (the MCP server does), and it does not limit rates.

mod auth;
pub mod danger;
pub mod drain;
#[cfg(feature = "axum")]
pub mod extract;
mod metadata;
mod response;
pub mod scope;
mod session;
mod stream_end;
mod upstream;

pub use auth::{Auth, AuthConfig, AuthLayer, ResponseFuture, StreamLifetime};
#[cfg(feature = "axum")]
pub use metadata::metadata_routes;
pub use response::ResponseBody;
pub use session::SessionBinding;
pub use upstream::{RequireUpstream, RequireUpstreamFuture, RequireUpstreamLayer};
