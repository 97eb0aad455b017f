//! Sealing: what is stored is of no use without the key.

mod key_check;
mod key_file;
mod key_ring;
mod key_text;
mod place;
mod plaintext;
mod rekey;
#[cfg(test)]
mod tests;

pub(crate) use key_check::KeyCheck;
pub use key_check::{OpenError, WrongKeys};
pub use key_file::KeyFileError;
pub use key_ring::{KeyRing, SealError};
pub use key_text::InvalidKeyRing;
pub(crate) use place::Place;
pub(crate) use plaintext::plaintext;
pub use rekey::RekeyReport;
pub(crate) use rekey::rekey;
