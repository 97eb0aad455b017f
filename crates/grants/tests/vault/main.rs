//! The vault: what is in the store is of no use without the keys, and keys can be changed.

mod keys;
mod meddled;
mod rotation;
mod sealed;
