//! [`HeaderPolicy`]: the check of the JOSE header, and the evidence that it leaves: [`HeaderCheckedJwt`] and [`SignedJwt`].

use jsonwebtoken::crypto::aws_lc;
use portcullis_core::{AuthError, Reason, UnixTime};
use serde_json::Value;

use super::{Algorithm, UnverifiedJwt, VerificationKey};
use crate::{Claims, InvalidClaim};

/// The purpose of a JWT. A JWT whose header was checked for one purpose is never accepted for another
/// ([RFC 8725 section 3.12](https://www.rfc-editor.org/rfc/rfc8725#section-3.12)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum JwtPurpose {
    AccessToken,
    IdToken,
    IdJag,
    ClientAssertion,
    UserInfo,
}

/// The policy for the JOSE header: the same rules for every purpose, except for types and algorithms.
#[derive(Clone, Debug)]
pub(crate) struct HeaderPolicy {
    purpose: JwtPurpose,
    algorithms: Vec<Algorithm>,
    token_types: Vec<Box<str>>,
    untyped: bool,
}

impl HeaderPolicy {
    /// Creates a policy for JWTs with the `typ` of `token_type`, signed by any algorithm.
    pub(crate) fn new(purpose: JwtPurpose, token_type: &str) -> Self {
        Self { purpose, algorithms: Algorithm::ALL.to_vec(), token_types: vec![token_type.into()], untyped: false }
    }

    pub(crate) fn with_algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    pub(crate) fn with_token_types<I: IntoIterator<Item: AsRef<str>>>(mut self, types: I) -> Self {
        self.token_types = types.into_iter().map(|name| without_application(name.as_ref()).into()).collect();
        self
    }

    /// Also accepts a `typ` of `JWT`, or none.
    pub(crate) const fn with_untyped_tokens(mut self) -> Self {
        self.untyped = true;
        self
    }

    pub(crate) const fn is_untyped_accepted(&self) -> bool {
        self.untyped
    }

    /// Returns the accepted values of `typ`, besides `JWT` if that is accepted.
    pub(crate) fn token_types(&self) -> &[Box<str>] {
        &self.token_types
    }

    /// Checks the header. No signature is verified if this fails.
    pub(crate) fn check_header(&self, jwt: UnverifiedJwt) -> Result<HeaderCheckedJwt, AuthError> {
        let has = |names: &[&str]| names.iter().any(|name| jwt.header.contains_key(*name));
        if has(&["enc", "zip"]) {
            let problem = "the token is encrypted or compressed (`enc`, `zip`); configure the issuer to sign it only";
            return Err(AuthError::new(Reason::EncryptedToken).with_source(problem));
        }
        if has(&["crit", "b64"]) {
            let problem = "the header requires an extension (`crit`, `b64`), and none is supported";
            return Err(AuthError::new(Reason::CriticalHeader).with_source(problem));
        }
        // `x5t` only names a certificate, and Entra ID sets it in every token.
        if has(&["jwk", "jku", "x5c", "x5u"]) {
            let problem =
                "the header contains a key or the URL of one (`jwk`, `jku`, `x5c`, `x5u`), which is not trusted";
            return Err(AuthError::new(Reason::EmbeddedKey).with_source(problem));
        }
        let written = jwt.header.get("alg");
        let algorithm = written.and_then(Value::as_str).and_then(Algorithm::named);
        let Some(algorithm) = algorithm.filter(|algorithm| self.algorithms.contains(algorithm)) else {
            return Err(AuthError::new(Reason::AlgorithmRefused).with_source(self.other_algorithm(written)));
        };
        let typ = jwt.header.get("typ");
        if !self.is_type_accepted(typ) {
            return Err(AuthError::new(Reason::WrongType).with_source(self.other_type(typ)));
        }
        if jwt.header.get("kid").is_some_and(|kid| !kid.is_string()) {
            return Err(AuthError::new(Reason::MalformedToken).with_source("kid is not a string"));
        }
        Ok(HeaderCheckedJwt::new(jwt, algorithm, self.purpose))
    }

    fn is_type_accepted(&self, written: Option<&Value>) -> bool {
        let name = written.and_then(Value::as_str).map(without_application);
        self.untyped && is_untyped(written)
            || name.is_some_and(|name| self.token_types.iter().any(|accepted| accepted.eq_ignore_ascii_case(name)))
    }

    /// Describes an `alg` that is not accepted.
    fn other_algorithm(&self, written: Option<&Value>) -> String {
        let accepted: Vec<_> = self.algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
        let written = bounded(written);
        let symmetric =
            if written.starts_with("\"HS") { "; configure the issuer to sign by an asymmetric key" } else { "" };
        format!("the header `alg` is {written}; accepted is one of {accepted:?} (`algorithms`){symmetric}")
    }

    /// Describes a `typ` that is not accepted.
    fn other_type(&self, written: Option<&Value>) -> String {
        let written = bounded(written);
        let (types, untyped) = (&self.token_types, if self.untyped { ", \"JWT\" or absent" } else { "" });
        format!("the header `typ` is {written}; accepted is one of {types:?}{untyped} (`token_types`)")
    }
}

/// Returns a member of the header as it is written. It is truncated, because it is not verified.
fn bounded(written: Option<&Value>) -> String {
    written.map_or_else(|| "absent".to_owned(), |value| value.to_string().chars().take(40).collect())
}

/// Reports whether the header `typ` is absent, or `JWT`, which states no use of the token.
fn is_untyped(written: Option<&Value>) -> bool {
    written.is_none_or(|typ| typ.as_str().is_some_and(|name| without_application(name).eq_ignore_ascii_case("JWT")))
}

/// Returns a media type without the optional prefix `application/`.
/// [RFC 7515 section 4.1.9](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.9)
fn without_application(media_type: &str) -> &str {
    const PREFIX: &str = "application/";
    match media_type.split_at_checked(PREFIX.len()) {
        Some((prefix, name)) if prefix.eq_ignore_ascii_case(PREFIX) => name,
        _ => media_type,
    }
}

/// A JWT whose header a policy has accepted. Its signature is not verified.
#[derive(Debug)]
pub struct HeaderCheckedJwt {
    jwt: UnverifiedJwt,
    algorithm: Algorithm,
    purpose: JwtPurpose,
}

/// A JWT whose signature is verified. Its claims are not checked.
#[derive(Debug)]
pub struct SignedJwt {
    claims: Claims,
    algorithm: Algorithm,
    purpose: JwtPurpose,
    is_untyped: bool,
}

impl HeaderCheckedJwt {
    pub(super) const fn new(jwt: UnverifiedJwt, algorithm: Algorithm, purpose: JwtPurpose) -> Self {
        Self { jwt, algorithm, purpose }
    }

    /// Returns the algorithm in the header, which the policy allows.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the id of the signing key in the header (`kid`), by which a key of the issuer may be selected.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.jwt.header.get("kid").and_then(Value::as_str)
    }

    /// Returns the claimed time of issue (`iat`), which is not verified, like all claims.
    ///
    /// # Errors
    /// [`InvalidClaim`] if `iat` is not a `NumericDate`.
    pub fn claimed_issued_at(&self) -> Result<Option<UnixTime>, InvalidClaim> {
        self.jwt.claimed_issued_at()
    }

    /// Verifies the signature.
    ///
    /// # Errors
    /// [`Reason::BadSignature`] if the signature is not by `key`, or `key` does not fit the algorithm.
    pub fn verify(self, key: &VerificationKey) -> Result<SignedJwt, AuthError> {
        let bad_signature = || AuthError::new(Reason::BadSignature);
        if !key.fits(self.algorithm) {
            return Err(bad_signature());
        }
        // The default provider of the process is not used: another crate of the build may have installed a different one, or may
        // have made the choice ambiguous, which panics.
        let verifier = (aws_lc::DEFAULT_PROVIDER.verifier_factory)(&self.algorithm.jwa(), key.decoding_key())
            .map_err(|_| bad_signature())?;
        let is_untyped = is_untyped(self.jwt.header.get("typ"));
        let UnverifiedJwt { token, claims, signature, signed_len, .. } = self.jwt;
        let signed = &token.expose_secret().as_bytes()[..signed_len];
        verifier.verify(signed, &signature).map_err(|_| bad_signature())?;
        Ok(SignedJwt { claims, algorithm: self.algorithm, purpose: self.purpose, is_untyped })
    }
}

impl SignedJwt {
    /// Returns the algorithm of the signature.
    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Reports whether the header states no use of the token: its `typ` is absent, or `JWT`.
    pub(crate) const fn is_untyped(&self) -> bool {
        self.is_untyped
    }

    /// Returns the claims, if the header was checked for this purpose.
    pub(crate) fn into_claims(self, purpose: JwtPurpose) -> Result<Claims, AuthError> {
        if self.purpose == purpose { Ok(self.claims) } else { Err(AuthError::new(Reason::WrongType)) }
    }
}
