//! Stories with real components: providers, clients and servers that are not ours, and the binaries of this workspace.

#![expect(clippy::panic, reason = "tests fail by it, also in functions that several of them use")]

mod harness;

mod bridge;
mod client_logins;
mod client_proofs;
mod clients;
mod conformance;
mod foreign_server;
mod introspection;
mod jwt;
mod mcp_client;
mod origin;
mod outage;
mod plain_hyper;
mod profile;
mod proxy;
mod secrecy;
mod upstream;

/// The tools of the example, for servers of these tests.
#[expect(dead_code, reason = "the example asks more of them")]
#[path = "../../examples/mcp-server/src/tools.rs"]
mod tools;
