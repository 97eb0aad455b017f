//! An MCP server with a login: real providers upstream, real clients and a real browser downstream.

mod chromium;
mod clients;
mod conformance;
mod site;
mod user;
