//! Stories of the provider behind a server: gate, cache, refresher and verifiers together, in paused time.

mod fixture;
mod resolution;
mod rmcp_tools;
mod verifiers;
