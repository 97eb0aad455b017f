//! [`Algorithm`] and [`VerificationKey`]: a signature algorithm, and a key of a key set.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm as Jwa, DecodingKey};
use serde_json::{Map, Value};

/// A signature algorithm. All are asymmetric, so that a public key is never used as a shared secret.
///
/// [RFC 7518 section 3.1](https://www.rfc-editor.org/rfc/rfc7518#section-3.1),
/// [RFC 8037](https://www.rfc-editor.org/rfc/rfc8037).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// EdDSA on Ed25519.
    EdDsa,
}

/// An error for a name that is not a supported asymmetric signature algorithm.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a supported signature algorithm: {0:?}")]
#[non_exhaustive]
pub struct UnknownAlgorithm(pub String);

impl Algorithm {
    /// All algorithms.
    pub const ALL: &'static [Self] = &[
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Returns the name in the header parameter `alg`, which is case-sensitive.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Returns the algorithm with a name. `Ed25519` is the newer name of `EdDSA` on that curve
    /// ([RFC 9864 section 2.2](https://www.rfc-editor.org/rfc/rfc9864#section-2.2)).
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Self::ALL.iter().copied().find(|algorithm| algorithm.as_str() == name)
    }

    pub(super) const fn jwa(self) -> Jwa {
        match self {
            Self::Rs256 => Jwa::RS256,
            Self::Rs384 => Jwa::RS384,
            Self::Rs512 => Jwa::RS512,
            Self::Ps256 => Jwa::PS256,
            Self::Ps384 => Jwa::PS384,
            Self::Ps512 => Jwa::PS512,
            Self::Es256 => Jwa::ES256,
            Self::Es384 => Jwa::ES384,
            Self::EdDsa => Jwa::EdDSA,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::named(name).ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

/// A public key of an issuer, bound to the algorithms that it may be used with.
///
/// [RFC 7517 section 4](https://www.rfc-editor.org/rfc/rfc7517#section-4).
#[derive(Clone, Debug)]
pub struct VerificationKey {
    id: Option<Box<str>>,
    key_type: KeyType,
    /// The only algorithm that the issuer allows for the key, if it is stated.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum KeyType {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// The accepted sizes: shorter keys are not secure, and longer ones make verification expensive.
/// [RFC 8725 section 3.5](https://www.rfc-editor.org/rfc/rfc8725#section-3.5)
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

impl VerificationKey {
    /// Parses a key; returns `None` if it is not intended for signatures (`use`, `key_ops`).
    ///
    /// # Errors
    /// A short description of the error.
    pub(super) fn parse(jwk: &Map<String, Value>) -> Result<Option<Self>, &'static str> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if jwk.contains_key("d") || jwk.contains_key("k") {
            return Err("a symmetric key, or a private one that was published");
        }
        let verifies = |ops: &Value| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify"));
        if jwk.get("use").is_some_and(|usage| usage != "sig") || jwk.get("key_ops").is_some_and(|ops| !verifies(ops)) {
            return Ok(None);
        }
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(name) => Some(name.as_str().and_then(Algorithm::named).ok_or("unsupported alg")?),
        };
        let id = match jwk.get("kid") {
            None => None,
            Some(id) => Some(id.as_str().ok_or("kid is not a string")?.into()),
        };
        let (key_type, key) = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => (KeyType::Rsa, rsa(&bytes(text("n"))?, &bytes(text("e"))?)?),
            (Some("EC"), Some("P-256")) => (KeyType::P256, ec(&bytes(text("x"))?, &bytes(text("y"))?, 32)?),
            (Some("EC"), Some("P-384")) => (KeyType::P384, ec(&bytes(text("x"))?, &bytes(text("y"))?, 48)?),
            (Some("OKP"), Some("Ed25519")) => (KeyType::Ed25519, ed25519(&bytes(text("x"))?)?),
            _ => return Err("unsupported kty or crv"),
        };
        let key = Self { id, key_type, algorithm: None, key };
        match algorithm {
            Some(algorithm) if !key.fits(algorithm) => Err("alg does not fit the key"),
            algorithm => Ok(Some(Self { algorithm, ..key })),
        }
    }

    /// Returns the key id (`kid`).
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Reports whether the key may be used with `algorithm`, by its type and curve and by its `alg`.
    #[must_use]
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        let key_type = match algorithm {
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => KeyType::Rsa,
            Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => KeyType::Rsa,
            Algorithm::Es256 => KeyType::P256,
            Algorithm::Es384 => KeyType::P384,
            Algorithm::EdDsa => KeyType::Ed25519,
        };
        self.key_type == key_type && self.algorithm.is_none_or(|only| only == algorithm)
    }

    pub(super) const fn decoding_key(&self) -> &DecodingKey {
        &self.key
    }
}

fn bytes(text: Option<&str>) -> Result<Vec<u8>, &'static str> {
    text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or("a parameter is missing or not base64url")
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<DecodingKey, &'static str> {
    // Some issuers add a sign byte, which does not change the number.
    let modulus = without_zeros(modulus);
    let exponent = without_zeros(exponent);
    let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err("RSA key of less than 2048 or more than 8192 bits");
    }
    // NIST SP 800-56B and common libraries require an odd, small exponent of at least 3.
    let odd = exponent.last().is_some_and(|last| last % 2 == 1);
    if !odd || exponent == [1] || exponent.len() > 4 {
        return Err("RSA exponent out of range");
    }
    Ok(DecodingKey::from_rsa_raw_components(modulus, exponent))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// Creates a key from an uncompressed point, which `from_ec_der` expects. With a point that is not on the curve, verification fails.
fn ec(x: &[u8], y: &[u8], len: usize) -> Result<DecodingKey, &'static str> {
    if x.len() != len || y.len() != len {
        return Err("EC coordinates of the wrong length");
    }
    Ok(DecodingKey::from_ec_der(&[&[4], x, y].concat()))
}

fn ed25519(x: &[u8]) -> Result<DecodingKey, &'static str> {
    if x.len() != 32 {
        return Err("Ed25519 key of the wrong length");
    }
    Ok(DecodingKey::from_ed_der(x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact_and_never_symmetric() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.as_str().parse(), Ok(*algorithm));
        }
        for name in
            ["none", "None", "nOnE", "", "HS256", "HS512", "rs256", "RS256 ", "ES512", "ES256K", "RSA-OAEP", "dir"]
        {
            assert!(name.parse::<Algorithm>().is_err(), "{name}");
        }
    }
}
