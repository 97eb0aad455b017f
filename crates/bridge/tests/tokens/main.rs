//! Metadata, and tokens: issuance, rotation, introspection, revocation and verification.

mod assertions;
mod codes;
mod session_limit;
mod dead_grants;
mod grace;
mod introspection;
mod jwts;
mod metadata;
mod observability;
mod processes;
mod revocation;
mod rotation;

mod unreliable_store;
mod found_tokens;
mod verifier;
mod fixture;
