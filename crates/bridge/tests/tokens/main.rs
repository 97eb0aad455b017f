//! What the bridge says of itself, and its tokens: issued, rotated, looked at, withdrawn.

mod assertions;
mod codes;
mod crowd;
mod dead_grants;
mod grace;
mod introspection;
mod jwts;
mod log;
mod metadata;
mod observed;
mod processes;
mod revocation;
mod rotation;

mod shelf;
mod thieves;
mod verifier;
mod world;
