//! Requirements of MCP authorization on a client: discovery, registration and login, over real sockets.

mod cache;
mod discovery;
mod fixture;
mod login;
mod manager;
mod registration;
mod responses;
mod tokens;
