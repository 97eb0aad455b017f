//! An MCP server with a login: real providers upstream, real clients and a real browser downstream.

mod clients;
mod site;
mod user;
