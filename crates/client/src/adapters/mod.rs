//! Adapters for the HTTP clients and MCP clients of other crates, each behind a feature.
//!
//! | adapter | feature | for | tokens bound to a key ([`DpopKey`](crate::DpopKey)) |
//! |---|---|---|---|
//! | `ReqwestService` | `reqwest` | `reqwest`, below a [`TokenLayer`](crate::TokenLayer) | presented with proofs, by the layer |
//! | `TokenMiddleware` | `reqwest-middleware` | `reqwest-middleware` | presented with proofs |
//! | `RmcpClient` | `rmcp` | rmcp's HTTP transport | refused: each request fails |
//! | `RmcpStore` | `rmcp-auth` | rmcp's own authorization | rmcp requests none |
//!
//! A client of hyper-util is a tower service of `http` requests already, and needs no adapter.

#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "reqwest-middleware")]
mod reqwest_middleware;
#[cfg(feature = "rmcp")]
mod rmcp_client;
#[cfg(feature = "rmcp-auth")]
mod rmcp_store;

#[cfg(feature = "reqwest")]
pub use self::reqwest::{ReqwestService, within_origin};
#[cfg(feature = "reqwest-middleware")]
pub use self::reqwest_middleware::TokenMiddleware;
#[cfg(feature = "rmcp")]
pub use self::rmcp_client::RmcpClient;
#[cfg(feature = "rmcp-auth")]
pub use self::rmcp_store::RmcpStore;
