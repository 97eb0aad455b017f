//! An MCP server with a login: real providers upstream, real clients and a real browser downstream.

mod chromium;
mod clients;
mod codes;
mod conformance;
mod failures;
mod glewlwyd;
mod identity;
mod refreshing;
mod server;
mod user;
