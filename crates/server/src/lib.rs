//! Portcullis as a server: authentication in front of MCP routes, by configuration.
//!
//! [`Config`] reads a TOML file and environment variables. [`Server`] serves a router behind authentication as the configuration
//! says: with the tokens of other authorization servers (`mode = "resource-server"`), or with an authorization server of its own
//! (`mode = "bridge"`). It adds what belongs in front of an MCP server: CORS, the check of `Host` and `Origin`, limited
//! [`connections`], `/healthz`, `/readyz` and `/metrics`, and a clean shutdown on SIGTERM.
//!
//! `docs/configuration.md` in the repository lists every key; `examples/mcp-server` is a program that uses this crate.

mod admin;
mod bridge;
mod config;
pub mod connections;
mod finding;
mod listeners;
mod maintenance;
mod online_check;
mod resource_server;
mod routes;
mod serve_error;
mod server;
mod server_names;
mod store;

pub use config::{Config, ConfigError};
pub use finding::Finding;
pub use maintenance::Maintenance;
pub use online_check::check_online;
pub use routes::RouteContext;
pub use serve_error::ServeError;
pub use server::Server;
pub use server_names::ServerNames;

#[cfg(test)]
mod tests;
