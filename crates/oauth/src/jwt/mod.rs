//! JSON Web Tokens as access tokens.
//!
//! | step | result | checks |
//! |---|---|---|
//! | [`UnverifiedJwt::parse`] | an [`UnverifiedJwt`] | the form: size, three parts, base64url, strict JSON |
//! | [`JwtPolicy::check_header`] | a [`HeaderCheckedJwt`] | the header: algorithm, type, no embedded key |
//! | [`KeySet::select`], [`HeaderCheckedJwt::verify`] | a [`SignedJwt`] | the signature by a key of the issuer |
//! | [`JwtPolicy::check`] | [`Verified`](crate::Verified) [`Claims`](crate::Claims) | issuer, audience, time |
//!
//! [RFC 9068](https://www.rfc-editor.org/rfc/rfc9068) (access tokens),
//! [RFC 8725](https://www.rfc-editor.org/rfc/rfc8725) (best practices), [RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)
//! (key sets). Not supported: encrypted tokens (JWE), symmetric signatures, detached payloads (`b64`), ECDSA on P-521 and
//! secp256k1, Ed448, and proof of possession of an access token: a token bound to a key (`cnf`) is rejected, because the proof is
//! not verified. A client can [prove](crate::dpop) that it has a key.

mod header;
mod key;
mod key_set;
mod policy;
mod signing_key;
mod unverified;

pub use header::{HeaderCheckedJwt, SignedJwt};
pub(crate) use header::{HeaderPolicy, JwtPurpose};
pub use key::{Algorithm, UnknownAlgorithm, VerificationKey};
pub use key_set::{InvalidKeySet, KeySet, SkippedKey};
pub use policy::JwtPolicy;
pub use signing_key::{InvalidSigningKey, PublicJwk, SigningKey};
pub use unverified::UnverifiedJwt;
