//! [`KeyRing`]: the keys that what is stored is sealed with.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey},
    digest,
};
use bytes::Bytes;
use zeroize::Zeroizing;

use super::Place;

/// The keys that grants and records are sealed with: the first seals, all open.
///
/// AES-256-GCM-SIV ([RFC 8452](https://www.rfc-editor.org/rfc/rfc8452)) with a random nonce. Associated data are the id of
/// the key, and the id of the grant or the table and the key of the record: what is copied into another row does not open. It does **not** notice that a row
/// was put back to an earlier state. Clones share the keys; `Debug` prints their ids only.
///
/// Keys come [from a file](Self::from_file), as [text](Self::parse), or as [bytes](Self::new). A new one goes first; those behind
/// it are needed until [`GrantStore::rekey`](crate::GrantStore::rekey) and [`SealedStore::rekey`](crate::records::SealedStore::rekey) have left
/// nothing that is sealed with them.
#[derive(Clone)]
pub struct KeyRing(Arc<Inner>);

struct Inner {
    /// At least one.
    keys: Vec<Key>,
    ephemeral: bool,
}

struct Key {
    id: [u8; KEY_ID],
    aead: RandomizedNonceKey,
}

/// Why a sealed record does not open. It says nothing of what is in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Sealed with a key that is not on the ring.
    #[error("sealed with a key that is not on the key ring")]
    UnknownKey,
    /// Not what was sealed for this place.
    #[error("a sealed record was damaged, or is of another place")]
    Damaged,
}

const FORMAT: u8 = 1;
const KEY_ID: usize = 8;
const NONCE: usize = 12;
const HEADER: usize = 1 + KEY_ID;

impl KeyRing {
    /// A ring of `keys` of 32 bytes each: the first seals, all open. `None` if there is none.
    #[must_use]
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a [u8; 32]>) -> Option<Self> {
        let keys: Vec<_> = keys.into_iter().map(Key::new).collect();
        (!keys.is_empty()).then(|| Self(Arc::new(Inner { keys, ephemeral: false })))
    }

    /// A ring with one random key that is gone with the process: for stores in memory.
    #[must_use]
    pub fn ephemeral() -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(&mut *key);
        Self(Arc::new(Inner { keys: vec![Key::new(&key)], ephemeral: true }))
    }

    /// Whether its keys are gone with the process.
    #[must_use]
    pub fn is_ephemeral(&self) -> bool {
        self.0.ephemeral
    }

    pub(crate) fn seal(&self, place: Place, plain: &[u8]) -> Bytes {
        let key = &self.0.keys[0];
        let header = header(key);
        let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + AES_256_GCM_SIV.tag_len()));
        text.extend_from_slice(plain);
        let aad = Aad::from(associated(&header, place));
        let nonce = key.aead.seal_in_place_append_tag(aad, &mut *text).expect("a record is short enough to be sealed");
        Bytes::from([&header, nonce.as_ref().as_slice(), &text].concat())
    }

    pub(crate) fn open(&self, place: Place, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (header, rest) = sealed.split_at_checked(HEADER).ok_or(SealError::Damaged)?;
        let (nonce, text) = rest.split_at_checked(NONCE).ok_or(SealError::Damaged)?;
        let key = self.0.keys.iter().find(|key| self::header(key) == header).ok_or(SealError::UnknownKey)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Damaged)?;
        let mut text = Zeroizing::new(text.to_vec());
        let plain = key.aead.open_in_place(nonce, Aad::from(associated(header, place)), &mut text);
        let len = plain.map_err(|_| SealError::Damaged)?.len();
        text.truncate(len);
        Ok(text)
    }

    /// Whether what is sealed is sealed with the first key.
    pub(crate) fn is_current(&self, sealed: &[u8]) -> bool {
        sealed.starts_with(&header(&self.0.keys[0]))
    }
}

impl Key {
    fn new(key: &[u8; 32]) -> Self {
        let aead = RandomizedNonceKey::new(&AES_256_GCM_SIV, key).expect("a key of 32 bytes");
        Self { id: key_id(key), aead }
    }
}

/// The name of a key, which says nothing of the key.
pub(super) fn key_id(key: &[u8; 32]) -> [u8; KEY_ID] {
    // Piece by piece: a copy of the key would have to be wiped.
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(b"portcullis sealing key\0");
    hash.update(key);
    let mut id = [0; KEY_ID];
    id.copy_from_slice(&hash.finish().as_ref()[..KEY_ID]);
    id
}

/// The name of the key that something is sealed with, as a ring prints it.
pub(super) fn key_name(sealed: &[u8]) -> Option<String> {
    let id = sealed.get(1..HEADER)?.try_into().ok()?;
    Some(format!("{:016x}", u64::from_be_bytes(id)))
}

fn header(key: &Key) -> [u8; HEADER] {
    let mut header = [FORMAT; HEADER];
    header[1..].copy_from_slice(&key.id);
    header
}

fn associated(header: &[u8], place: Place) -> Vec<u8> {
    [header, &place.name()].concat()
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.0.keys.iter().map(|key| u64::from_be_bytes(key.id));
        f.debug_list().entries(ids.map(|id| format!("{id:016x}"))).finish()
    }
}
