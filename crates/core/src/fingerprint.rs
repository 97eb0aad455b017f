//! [`Fingerprint`]: the hash of a token, for caches and logs.

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::{BuildHasher, Hash, Hasher},
};

use sha2::{Digest, Sha256};

/// The SHA-256 hash of a credential, for caches and logs.
///
/// The fingerprint of the [whole token](crate::BearerToken::fingerprint) covers every byte, signature included, so two tokens that
/// differ anywhere have different fingerprints. The fingerprint of its [signed part](crate::BearerToken::signed_fingerprint) is the same
/// for all encodings of a JWT. The hash is not keyed: a holder of the token can compute it, and a holder of the fingerprint learns
/// nothing about a token of full entropy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Returns the fingerprint of a credential that is not a bearer token, such as a refresh token or an authorization code.
    #[must_use]
    pub fn of_credential(text: &str) -> Self {
        Self::of(text.as_bytes())
    }

    pub(crate) fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Returns the bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn word(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&self.0[at * 8..at * 8 + 8]);
        u64::from_le_bytes(word)
    }
}

/// Hashes two words: they are uniform already, and [`FingerprintState`] adds a secret.
impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.word(0));
        state.write_u64(self.word(1));
    }
}

/// Prints the first four bytes, which suffice to tell log lines apart.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…")
    }
}

/// A [`BuildHasher`] for maps keyed by [`Fingerprint`], which does little work because a fingerprint is already a hash.
///
/// It multiplies two words of the fingerprint, each masked with a secret of this process, so that tokens whose fingerprints share a
/// bucket cannot be searched for.
#[derive(Clone, Debug)]
pub struct FingerprintState {
    mask: [u64; 2],
}

impl Default for FingerprintState {
    fn default() -> Self {
        let random = RandomState::new();
        Self { mask: [random.hash_one(0_u8), random.hash_one(1_u8)] }
    }
}

impl BuildHasher for FingerprintState {
    type Hasher = FingerprintHasher;

    fn build_hasher(&self) -> FingerprintHasher {
        FingerprintHasher { mask: self.mask, folded: 0 }
    }
}

/// The hasher that [`FingerprintState`] builds.
#[derive(Clone, Debug)]
pub struct FingerprintHasher {
    mask: [u64; 2],
    folded: u64,
}

impl Hasher for FingerprintHasher {
    fn finish(&self) -> u64 {
        self.folded
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(word ^ self.mask[0]) * u128::from(self.folded ^ self.mask[1] | 1);
        #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
        let folded = (product as u64) ^ ((product >> 64) as u64);
        self.folded = folded;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_every_byte() {
        let token = b"header.payload.signature";
        let whole = Fingerprint::of(token);
        for at in 0..token.len() {
            let mut other = token.to_vec();
            other[at] ^= 1;
            assert_ne!(Fingerprint::of(&other), whole, "byte {at}");
        }
    }

    #[test]
    fn debug_output_is_four_bytes() {
        assert_eq!(format!("{:?}", Fingerprint::of(b"")).chars().count(), 9);
    }

    #[test]
    fn hashers_differ_by_process_secret_and_agree_with_themselves() {
        let (one, other) = (FingerprintState::default(), FingerprintState::default());
        let print = Fingerprint::of(b"x");
        assert_eq!(one.hash_one(print), one.hash_one(print));
        assert_ne!(one.hash_one(print), other.hash_one(print));
        assert_ne!(one.hash_one(print), one.hash_one(Fingerprint::of(b"y")));
    }
}
