//! Response streams of a gate whose verifier is a cache before introspection: what becomes of them when a token is no longer
//! good at its issuer, in paused time.

mod revocation;
mod support;
mod unavailable;
