//! [`AuthLayer`]: a tower layer that lets the right people into an MCP server.
//!
//! A request comes in, and
//!
//! 1. if it asks for the resource's metadata ([RFC 9728](https://www.rfc-editor.org/rfc/rfc9728)), it is answered at once;
//! 2. if it is a CORS preflight, it passes: it cannot carry a token;
//! 3. if it has no bearer token, or one that cannot be read, it is rejected with a challenge;
//! 4. the [verifier](portcullis_core::VerifyToken) says who is calling, or why the request is rejected;
//! 5. if the token lacks a scope that every request needs, or the `Mcp-Session-Id` belongs to somebody else, it is rejected;
//! 6. the `Authorization` header is removed, `Arc<UserContext>` is put into the extensions, and the inner service is called.
//!
//! It does **not** check `Host` and `Origin` (the MCP server does), and it does not limit rates.

mod auth;
mod body;
pub mod danger;
pub mod drain;
#[cfg(feature = "axum")]
pub mod extract;
mod metadata;
mod protocol_version;
mod rejection;
pub mod scope;
mod session;
mod upstream;

pub use auth::{Auth, AuthConfig, AuthLayer, ResponseFuture, StreamLifetime};
pub use body::ResponseBody;
pub use session::SessionBinding;
pub use upstream::{RequireUpstream, RequireUpstreamFuture, RequireUpstreamLayer};
