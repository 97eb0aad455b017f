//! Sealing: what is stored is of no use without the key.

mod key_ring;

pub use key_ring::{KeyRing, SealError};
