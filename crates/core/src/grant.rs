//! [`GrantId`] and [`Generation`]: the identifier of a grant, and of one token of the grant.

use std::{fmt, str::FromStr};

/// The identifier of a grant: of an authorization that a user gave at an upstream provider.
///
/// It stays the same when the tokens are rotated, and belongs to one login: the next login creates another grant. It is 16 random bytes,
/// and neither a secret nor a credential.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId([u8; 16]);

/// An error for text that is not a [`GrantId`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a grant id, which is 32 hexadecimal digits")]
#[non_exhaustive]
pub struct InvalidGrantId;

impl GrantId {
    /// Creates an identifier from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes of the identifier.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Prints 32 hexadecimal digits.
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

/// The number of an access token within its grant: the count of refreshes before it.
///
/// A token that the provider rejected is reported with its generation, so that a thousand reports about one token cause one refresh,
/// and a late report about an older token causes none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Generation(u64);

impl Generation {
    /// Creates a generation from its number; the first is 0.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Returns the next generation.
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
    fn an_id_is_parsed_from_its_display_form() {
        let id = GrantId::from_bytes(*b"\x00\x01sixteen bytes.");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "00", "zz0102030405060708090a0b0c0d0e0f", "+0010203040506070809a0b0c0d0e0f0"] {
            assert_eq!(text.parse::<GrantId>(), Err(InvalidGrantId), "{text}");
        }
    }
}
