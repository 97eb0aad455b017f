//! [`KeyRing`]: the keys that stored values are sealed with.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey},
    digest, hkdf,
};
use bytes::Bytes;
use zeroize::Zeroizing;

use crate::RecordKey;

/// The keys that stored values are sealed with: the first key seals, all keys open.
///
/// AES-256-GCM-SIV ([RFC 8452](https://www.rfc-editor.org/rfc/rfc8452)) with a random nonce. The associated data are the id of the key
/// and the collection and key of the row, so a value that is copied into another row does not open. It does **not** detect that a row
/// was set back to an earlier state. Clones share the keys; `Debug` prints their ids only.
///
/// Keys come [from a file](Self::from_file), as [text](Self::parse), or as [bytes](Self::new). A new key goes first; the keys behind it
/// are needed until [`SealedStore::rekey`](crate::SealedStore::rekey) has left nothing that is sealed with them.
#[derive(Clone)]
pub struct KeyRing(Arc<Inner>);

struct Inner {
    /// At least one.
    keys: Vec<Key>,
    lifetime: Lifetime,
}

#[derive(PartialEq, Eq)]
enum Lifetime {
    Permanent,
    /// The keys are gone with the process.
    Ephemeral,
}

struct Key {
    id: [u8; KEY_ID],
    aead: RandomizedNonceKey,
    /// For keys of other purposes.
    derivation: hkdf::Prk,
}

/// What sealed bytes are bound to. In another context they do not open.
#[derive(Clone, Copy)]
pub(crate) enum SealContext {
    /// The row at a key.
    Row(RecordKey),
    /// A text that is in no row, for a purpose.
    Text(&'static str),
    /// An event of the feed.
    Event,
}

impl SealContext {
    /// Returns associated data that no other context has: that of an id has 16 bytes, all others have more and begin differently.
    fn associated_data(&self) -> Vec<u8> {
        match self {
            Self::Row(key) => key.associated_data(),
            Self::Text(purpose) => [b"a text that is in no row\0", purpose.as_bytes()].concat(),
            Self::Event => b"an event of the feed".to_vec(),
        }
    }
}

/// A sealed value that does not open. It says nothing of the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Sealed with a key that is not on the ring.
    #[error("sealed with a key that is not on the key ring")]
    UnknownKey,
    /// Damaged, or sealed for another row.
    #[error("a sealed record was damaged, or is of another place")]
    Damaged,
}

const FORMAT: u8 = 1;
const KEY_ID: usize = 8;
const NONCE: usize = 12;
const HEADER: usize = 1 + KEY_ID;

impl KeyRing {
    /// Creates a ring of `keys` of 32 bytes each: the first seals, all open. `None` if there is no key.
    #[must_use]
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a [u8; 32]>) -> Option<Self> {
        let keys: Vec<_> = keys.into_iter().map(Key::new).collect();
        (!keys.is_empty()).then(|| Self(Arc::new(Inner { keys, lifetime: Lifetime::Permanent })))
    }

    /// Creates a ring with one random key that is gone with the process: for stores in memory.
    #[must_use]
    pub fn ephemeral() -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(&mut *key);
        Self(Arc::new(Inner { keys: vec![Key::new(&key)], lifetime: Lifetime::Ephemeral }))
    }

    /// Reports whether the keys are gone with the process.
    #[must_use]
    pub fn is_ephemeral(&self) -> bool {
        self.0.lifetime == Lifetime::Ephemeral
    }

    /// Derives a key for `purpose` from each key, in their order ([RFC 5869](https://www.rfc-editor.org/rfc/rfc5869), SHA-256). A derived key
    /// says nothing of the key, nor of a key for another purpose.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Vec<Zeroizing<[u8; 32]>> {
        let derived = |key: &Key| {
            let mut bytes = Zeroizing::new([0; 32]);
            let info = [purpose.as_bytes()];
            let output = key.derivation.expand(&info, hkdf::HKDF_SHA256);
            output.and_then(|output| output.fill(&mut *bytes)).expect("32 bytes are as many as the hash has");
            bytes
        };
        self.0.keys.iter().map(derived).collect()
    }

    pub(crate) fn seal(&self, context: SealContext, plain: &[u8]) -> Bytes {
        let key = &self.0.keys[0];
        let header = header(key);
        let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + AES_256_GCM_SIV.tag_len()));
        text.extend_from_slice(plain);
        let aad = Aad::from(associated_data(&header, context));
        let nonce = key.aead.seal_in_place_append_tag(aad, &mut *text).expect("a record is short enough to be sealed");
        Bytes::from([&header, nonce.as_ref().as_slice(), &text].concat())
    }

    pub(crate) fn open(&self, context: SealContext, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (header, rest) = sealed.split_at_checked(HEADER).ok_or(SealError::Damaged)?;
        let (nonce, text) = rest.split_at_checked(NONCE).ok_or(SealError::Damaged)?;
        let key = self.0.keys.iter().find(|key| self::header(key) == header).ok_or(SealError::UnknownKey)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Damaged)?;
        let mut text = Zeroizing::new(text.to_vec());
        let plain = key.aead.open_in_place(nonce, Aad::from(associated_data(header, context)), &mut text);
        let len = plain.map_err(|_| SealError::Damaged)?.len();
        text.truncate(len);
        Ok(text)
    }

    /// Reports whether something is sealed with the first key.
    pub(crate) fn is_current(&self, sealed: &[u8]) -> bool {
        sealed.starts_with(&header(&self.0.keys[0]))
    }
}

impl Key {
    fn new(key: &[u8; 32]) -> Self {
        let aead = RandomizedNonceKey::new(&AES_256_GCM_SIV, key).expect("a key of 32 bytes");
        let derivation = hkdf::Salt::new(hkdf::HKDF_SHA256, b"portcullis derived keys").extract(key);
        Self { id: key_id(key), aead, derivation }
    }
}

/// Returns the id of a key, which says nothing of the key.
pub(crate) fn key_id(key: &[u8; 32]) -> [u8; KEY_ID] {
    // Piece by piece: a copy of the key would have to be wiped.
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(b"portcullis sealing key\0");
    hash.update(key);
    let mut id = [0; KEY_ID];
    id.copy_from_slice(&hash.finish().as_ref()[..KEY_ID]);
    id
}

/// Returns the id of the key that something is sealed with, as a ring prints it.
pub(crate) fn key_name(sealed: &[u8]) -> Option<String> {
    let id = sealed.get(1..HEADER)?.try_into().ok()?;
    Some(format!("{:016x}", u64::from_be_bytes(id)))
}

fn header(key: &Key) -> [u8; HEADER] {
    let mut header = [FORMAT; HEADER];
    header[1..].copy_from_slice(&key.id);
    header
}

fn associated_data(header: &[u8], context: SealContext) -> Vec<u8> {
    [header, &context.associated_data()].concat()
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.0.keys.iter().map(|key| u64::from_be_bytes(key.id));
        f.debug_list().entries(ids.map(|id| format!("{id:016x}"))).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

    use super::*;
    use crate::Collection;

    const GRANTS: Collection = Collection::new(0, "grants").with_id_binding();
    const CLIENTS: Collection = Collection::new(1, "clients");
    const LOGINS: Collection = Collection::new(2, "logins");

    fn ring(keys: &[u8]) -> KeyRing {
        let keys: Vec<_> = keys.iter().map(|key| [*key; 32]).collect();
        KeyRing::new(&keys).expect("keys")
    }

    fn alice() -> SealContext {
        SealContext::Row(RecordKey::of_id(GRANTS, &[1; 16]))
    }

    #[test]
    fn derived_keys_depend_on_the_key_and_the_purpose() {
        let keys = ring(&[7, 8]).derive("a");
        let all = [&keys[..], &ring(&[7, 8]).derive("b"), &[Zeroizing::new([7; 32])]].concat();
        assert_eq!(all.iter().map(|key| **key).collect::<BTreeSet<_>>().len(), 5, "no two are the same");
        assert_eq!(keys, ring(&[7, 8]).derive("a"), "in each process");
        assert_eq!(keys[1..], ring(&[8]).derive("a"), "in the order of the keys");
    }

    #[test]
    fn a_value_opens_only_in_the_context_that_it_was_sealed_for() {
        let ring = ring(&[7]);
        let row = |collection, byte| SealContext::Row(RecordKey::new(collection, [byte; 32]));
        let contexts = [
            alice(),
            SealContext::Row(RecordKey::of_id(GRANTS, &[2; 16])),
            row(LOGINS, 1),
            row(LOGINS, 2),
            row(CLIENTS, 1),
            SealContext::Text(""),
            SealContext::Text("form"),
            SealContext::Event,
        ];
        for (number, context) in contexts.into_iter().enumerate() {
            let sealed = ring.seal(context, b"a secret");
            for (other, elsewhere) in contexts.into_iter().enumerate() {
                let opened = ring.open(elsewhere, &sealed).map(|plain| plain.to_vec());
                let expected = if number == other { Ok(b"a secret".to_vec()) } else { Err(SealError::Damaged) };
                assert_eq!(opened, expected, "context {number} in context {other}");
            }
            assert!(!sealed.windows(8).any(|window| window == b"a secret"));
            assert_ne!(ring.seal(context, b"a secret"), sealed, "two sealed values are alike");
        }
    }

    #[test]
    fn what_is_in_databases_still_opens() {
        for (context, sealed) in [
            (alice(), "AbbYk922WLngjKFOiexjAz9MLqhfAlPzySLO/VV1YT4ey08yf4IO/4nHL8ib"),
            (
                SealContext::Row(RecordKey::new(LOGINS, [3; 32])),
                "AbbYk922WLngpZy+TISXwxIX86IvsV9+6qZwbtK6BJlYAUY6iw800Ie4WNpB",
            ),
            (SealContext::Text("form"), "AbbYk922WLng5g3ioXfQGpHleUMfprc1nYxOC9Aq0YaQhxgfO1v8AhBezAGh"),
        ] {
            let bytes = BASE64.decode(sealed).expect("base64");
            assert_eq!(**ring(&[7]).open(context, &bytes).expect(sealed), *b"a secret");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_missing_byte_is_detected() {
        let ring = ring(&[7]);
        let sealed = ring.seal(alice(), b"a secret");
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(ring.open(alice(), &flipped).is_err(), "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert!(ring.open(alice(), &sealed[..len]).is_err(), "{len} bytes");
        }
        assert!(ring.open(alice(), &[&sealed[..], b"x"].concat()).is_err());
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, rotated, new) = (ring(&[1]), ring(&[2, 1]), ring(&[2]));
        let sealed = old.seal(alice(), b"before");
        assert!(rotated.open(alice(), &sealed).is_ok());
        assert!(!rotated.is_current(&sealed));
        assert_eq!(new.open(alice(), &sealed).unwrap_err(), SealError::UnknownKey);

        let sealed = rotated.seal(alice(), b"after");
        assert!(rotated.is_current(&sealed));
        assert!(new.open(alice(), &sealed).is_ok());
        assert_eq!(old.open(alice(), &sealed).unwrap_err(), SealError::UnknownKey);
    }

    #[test]
    fn a_ring_does_not_print_its_keys() {
        let text = "3031323334353637383930313233343536373839303132333435363738393031";
        let ring = KeyRing::parse(text).expect("a key");
        let printed = format!("{ring:?} {ring:#?}");
        for secret in [text, "01234567890123456789012345678901", "48, 49, 50"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }

    #[test]
    fn keys_of_different_parts_or_collections_differ() {
        let of = |parts: &[&[u8]]| RecordKey::of(CLIENTS, parts);
        let keys = [
            of(&[]),
            of(&[b""]),
            of(&[b"", b""]),
            of(&[b"ab", b"c"]),
            of(&[b"a", b"bc"]),
            of(&[b"abc"]),
            RecordKey::of(LOGINS, &[b"abc"]),
        ];
        assert_eq!(keys.map(|key| *key.as_bytes()).into_iter().collect::<BTreeSet<_>>().len(), keys.len());
        assert_eq!(of(&[b"ab", b"c"]), keys[3]);
    }

    #[test]
    fn a_key_prints_too_little_of_itself_to_be_found_by() {
        let key = RecordKey::new(LOGINS, *b"0123456789abcdef0123456789abcdef");
        assert_eq!(format!("{key:?}"), "logins/30313233");
    }
}
