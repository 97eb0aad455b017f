//! An MCP server with a login: real providers upstream, real clients and a real browser downstream.

mod chromium;
mod clients;
mod codes;
mod conformance;
mod django;
mod failures;
mod foreign_clients;
mod glewlwyd;
mod identity;
mod real_clients;
mod refreshing;
pub(crate) mod server;
pub(crate) mod user;
