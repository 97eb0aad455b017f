//! Adapters for the HTTP clients and MCP clients of other crates, each behind a feature.

#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "reqwest-middleware")]
mod reqwest_middleware;
#[cfg(feature = "rmcp")]
mod rmcp_client;
#[cfg(feature = "rmcp-auth")]
mod rmcp_store;

#[cfg(feature = "reqwest")]
pub use self::reqwest::ReqwestService;
#[cfg(feature = "reqwest-middleware")]
pub use self::reqwest_middleware::TokenMiddleware;
#[cfg(feature = "rmcp")]
pub use self::rmcp_client::RmcpClient;
#[cfg(feature = "rmcp-auth")]
pub use self::rmcp_store::{RMCP_CREDENTIALS, RmcpStore};
