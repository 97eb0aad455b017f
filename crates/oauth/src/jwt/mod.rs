//! JSON Web Tokens as access tokens, from the bearer token to evidence.
//!
//! | step | makes | knows |
//! |---|---|---|
//! | [`UnverifiedJwt::parse`] | an [`UnverifiedJwt`] | the form: size, three parts, base64url, strict JSON |
//! | [`JwtPolicy::screen`] | a [`ScreenedJwt`] | the header: algorithm, type, nothing that brings its own key |
//! | [`KeySet::select`], [`ScreenedJwt::verify`] | a [`SignedJwt`] | that a key of the issuer signed it |
//! | [`JwtPolicy::check`] | [`Verified`](crate::Verified) [`Claims`](crate::Claims) | issuer, audience, time |
//!
//! [RFC 9068](https://www.rfc-editor.org/rfc/rfc9068) (access tokens),
//! [RFC 8725](https://www.rfc-editor.org/rfc/rfc8725) (best practices), [RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)
//! (key sets). Not supported: encrypted tokens (JWE), symmetric signatures, detached payloads (`b64`), ECDSA on P-521 and
//! secp256k1, Ed448, and proof of possession: a token bound to a key (`cnf`) is refused, because nobody here checks the proof.

mod algorithm;
mod jwk;
mod key_set;
mod policy;
mod screened;
mod screening;
mod unverified;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use jwk::VerificationKey;
pub use key_set::{InvalidKeySet, KeySet, SkippedKey};
pub use policy::JwtPolicy;
pub use screened::{ScreenedJwt, SignedJwt};
pub(crate) use screening::{JwtUse, Screening};
pub use unverified::UnverifiedJwt;
