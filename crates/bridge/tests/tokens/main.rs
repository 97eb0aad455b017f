//! What the bridge says of itself, and its tokens: issued, rotated, looked at, withdrawn.

mod assertions;
mod introspection;
mod metadata;
mod revocation;
mod world;
