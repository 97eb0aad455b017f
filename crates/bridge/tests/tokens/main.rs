//! Metadata, and tokens: issuance, rotation, introspection, revocation and verification.

mod assertions;
mod codes;
mod dead_grants;
mod fixture;
mod found_tokens;
mod grace;
mod introspection;
mod jwts;
mod metadata;
mod observability;
mod processes;
mod revocation;
mod rotation;
mod session_limit;
mod unreliable_store;
mod verifier;
