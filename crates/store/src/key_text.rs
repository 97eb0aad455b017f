//! [`KeyRing::parse`]: keys as an operator writes them.

use std::collections::HashMap;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

use crate::{KeyRing, key_ring::key_id};

/// Text that is not a key ring. The error names the line and never quotes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeyRing {
    /// No line contains a key.
    #[error("there is no key in it")]
    Empty,
    /// A line is not a key.
    #[error("line {line}: not a key: 32 bytes in base64 or hexadecimal")]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
    /// A key is listed twice, so its place in the order is ambiguous.
    #[error("line {line}: the key of line {first} again")]
    Repeated {
        /// Counted from 1.
        line: usize,
        /// The line that lists it first, counted from 1.
        first: usize,
    },
}

const EITHER_WAY: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, EITHER_WAY);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, EITHER_WAY);

impl KeyRing {
    /// Parses a key ring: one key per line, 32 bytes in base64 (of either alphabet, padded or not) or in hexadecimal. The
    /// first key seals, all open. Text after a `#` is a comment.
    ///
    /// Create a key with `openssl rand -base64 32`, or with `head -c 32 /dev/urandom | base64`. `parse` does **not** check that a key was
    /// chosen at random.
    ///
    /// ```
    /// use portcullis_store::{InvalidKeyRing, KeyRing};
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Collection, RecordKey, key_ring::SealContext};

    fn alice() -> SealContext {
        SealContext::Row(RecordKey::new(Collection::new(1, "clients"), [1; 32]))
    }

    fn ring(keys: &[u8]) -> KeyRing {
        let keys: Vec<_> = keys.iter().map(|key| [*key; 32]).collect();
        KeyRing::new(&keys).expect("keys")
    }

    const HEX: &str = "fbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfbfb";
    const ALL_FORMS: [&str; 6] = [
        HEX,
        "FBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFBFB",
        "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=",
        "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s",
        "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s=",
        "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s",
    ];

    #[test]
    fn a_key_is_the_same_in_every_form() {
        let sealed = ring(&[0xfb]).seal(alice(), b"a secret");
        for text in ALL_FORMS {
            let ring = KeyRing::parse(&format!("# comment\r\n\r\n  {text}  # of today\r\n")).expect(text);
            assert!(ring.open(alice(), &sealed).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_order_of_the_lines_is_the_order_of_the_ring() {
        let other = "00".repeat(32);
        let parsed = KeyRing::parse(&format!("{other}\n{HEX}\n")).expect("two keys");
        assert!(parsed.is_current(&ring(&[0]).seal(alice(), b"")));
        assert!(parsed.open(alice(), &ring(&[0xfb]).seal(alice(), b"")).is_ok());
    }

    #[test]
    fn text_that_is_no_ring_is_refused_by_line_and_not_quoted() {
        for (text, error) in [
            ("", InvalidKeyRing::Empty),
            ("# nothing\n\n", InvalidKeyRing::Empty),
            ("hunter2", InvalidKeyRing::Malformed { line: 1 }),
            (&format!("\n{HEX} {HEX}"), InvalidKeyRing::Malformed { line: 2 }),
            (&HEX[2..], InvalidKeyRing::Malformed { line: 1 }),
            (&format!("{HEX}fb"), InvalidKeyRing::Malformed { line: 1 }),
            (&HEX.replacen("fb", "+b", 1), InvalidKeyRing::Malformed { line: 1 }),
            // 31 and 33 bytes.
            ("+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+w==", InvalidKeyRing::Malformed { line: 1 }),
            ("+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7", InvalidKeyRing::Malformed { line: 1 }),
            // The alphabets are not mixed.
            ("-/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=", InvalidKeyRing::Malformed { line: 1 }),
            (&format!("{HEX}\n\n{}", ALL_FORMS[5]), InvalidKeyRing::Repeated { line: 3, first: 1 }),
        ] {
            let refusal = KeyRing::parse(text).unwrap_err();
            assert_eq!(refusal, error, "{text}");
            assert!(text.is_empty() || !refusal.to_string().contains(text));
        }
    }
}
