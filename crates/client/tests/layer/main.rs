//! The layer and the adapters: which requests bear a token, which are repeated, and what it costs.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod adapters;
mod attaching;
mod replay;
mod rmcp_transport;
mod world;
