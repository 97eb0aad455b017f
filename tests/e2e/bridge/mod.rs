//! An MCP server with a login: real providers upstream, real clients and a real browser downstream.

mod clients;
mod conformance;
mod site;
mod user;
