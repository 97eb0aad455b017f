//! [`GrantId`] and [`Generation`]: the name of what a user allowed, and which of its tokens is meant.

use std::{fmt, str::FromStr};

/// The name of a grant: of what a user allowed at an upstream provider.
///
/// It survives every rotation of the tokens, and belongs to one login: the next login is another grant. Sixteen random bytes; no
/// secret, and no proof of anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId([u8; 16]);

/// Text that is not the name of a grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not the id of a grant: 32 hexadecimal digits")]
#[non_exhaustive]
pub struct InvalidGrantId;

impl GrantId {
    /// The grant of this name.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The name as it is stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantId({self})")
    }
}

impl FromStr for GrantId {
    type Err = InvalidGrantId;

    fn from_str(text: &str) -> Result<Self, InvalidGrantId> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidGrantId);
        }
        u128::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| InvalidGrantId)
    }
}

/// Which token of a grant is meant: it counts the exchanges.
///
/// A token that was refused is reported with its generation, so that a thousand reports about one token cause one exchange,
/// and a late report about an older token causes none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Generation(u64);

impl Generation {
    /// The generation of this number; the first is 0.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_from_what_it_prints() {
        let id = GrantId::from_bytes(*b"\x00\x01sixteen bytes.");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "00", "zz0102030405060708090a0b0c0d0e0f", "+0010203040506070809a0b0c0d0e0f0"] {
            assert_eq!(text.parse::<GrantId>(), Err(InvalidGrantId), "{text}");
        }
    }
}
