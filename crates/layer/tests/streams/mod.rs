//! Response streams with a verifier of cache and introspection, whose token is no longer valid at its issuer, in paused time.

mod revocation;
mod support;
mod unavailable;
