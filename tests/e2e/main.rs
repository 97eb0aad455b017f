//! Stories with real components: providers, clients and servers that are not ours, and the binaries of this workspace.

mod harness;

mod clients;
mod introspection;
mod jwt;
