//! [`KeyRing::parse`]: keys as an operator writes them.

use std::collections::HashMap;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

use super::{KeyRing, key_ring::key_id};

/// Text that is no key ring. It says where, and never what stands there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeyRing {
    /// No line has a key.
    #[error("there is no key in it")]
    Empty,
    /// A line is something else than a key.
    #[error("line {line}: not a key: 32 bytes in base64 or hexadecimal")]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
    /// A key stands there twice: which place in the order is meant?
    #[error("line {line}: the key of line {first} again")]
    Repeated {
        /// Counted from 1.
        line: usize,
        /// Where it stands for the first time.
        first: usize,
    },
}

const EITHER_WAY: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, EITHER_WAY);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, EITHER_WAY);

impl KeyRing {
    /// The ring that `text` lists: a key a line, 32 bytes in base64 (of either alphabet, padded or not) or in hexadecimal. The
    /// first seals, all open. What follows a `#` is a comment.
    ///
    /// A key is made by `openssl rand -base64 32`, or by `head -c 32 /dev/urandom | base64`. It does **not** check that a key was
    /// chosen at random.
    ///
    /// ```
    /// use portcullis_grants::{InvalidKeyRing, KeyRing};
    ///
    /// let ring = "# 2026-08\n\
    ///     bmV2ZXIgdXNlIGEga2V5IHRoYXQgaXMgcHVibGlzaGU=\n\
    ///     6e65766572207573652061206b65792074686174206f7468657273206b6e6f77 # until all is resealed\n";
    /// assert!(KeyRing::parse(ring).is_ok());
    /// assert_eq!(KeyRing::parse("hunter2").unwrap_err(), InvalidKeyRing::Malformed { line: 1 });
    /// ```
    ///
    /// # Errors
    /// [`InvalidKeyRing`].
    pub fn parse(text: &str) -> Result<Self, InvalidKeyRing> {
        let mut keys = Vec::new();
        let mut lines = HashMap::new();
        for (line, content) in (1..).zip(text.lines()) {
            let written = content.split('#').next().unwrap_or_default().trim();
            if written.is_empty() {
                continue;
            }
            let key = key(written).ok_or(InvalidKeyRing::Malformed { line })?;
            if let Some(first) = lines.insert(key_id(&key), line) {
                return Err(InvalidKeyRing::Repeated { line, first });
            }
            keys.push(key);
        }
        Self::new(keys.iter().map(|key| &***key)).ok_or(InvalidKeyRing::Empty)
    }
}

/// In a box, so that a growing list moves the pointer and leaves no copy of the key behind.
fn key(written: &str) -> Option<Box<Zeroizing<[u8; 32]>>> {
    let mut key = Box::new(Zeroizing::new([0; 32]));
    let is_key = if written.len() == 64 {
        read_hex(written.as_bytes(), &mut key)
    } else {
        // More than 32 bytes do not fit.
        [BASE64, BASE64_URL].iter().any(|engine| engine.decode_slice(written, &mut **key) == Ok(32))
    };
    is_key.then_some(key)
}

fn read_hex(digits: &[u8], key: &mut [u8; 32]) -> bool {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    key.iter_mut().zip(digits.chunks_exact(2)).all(|(byte, pair)| {
        let both = value(pair[0]).zip(value(pair[1]));
        both.is_some_and(|(high, low)| {
            *byte = high << 4 | low;
            true
        })
    })
}
