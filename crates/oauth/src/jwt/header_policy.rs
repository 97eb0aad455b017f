//! [`HeaderPolicy`]: what the header of a JWT must be like.

use portcullis_core::{AuthError, Reason};
use serde_json::Value;

use super::{Algorithm, HeaderCheckedJwt, UnverifiedJwt};

/// What a JWT is for. One that was screened for one use is never checked for another
/// ([RFC 8725 section 3.12](https://www.rfc-editor.org/rfc/rfc8725#section-3.12)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum JwtPurpose {
    AccessToken,
    IdToken,
    IdJag,
    ClientAssertion,
}

/// What the header of a JWT must be like: the same rules for every use, but for the types and the algorithms.
#[derive(Clone, Debug)]
pub(crate) struct HeaderPolicy {
    purpose: JwtPurpose,
    algorithms: Vec<Algorithm>,
    token_types: Vec<Box<str>>,
    untyped: bool,
}

impl HeaderPolicy {
    /// For JWTs that say in `typ` that they are a `token_type`, signed by any algorithm.
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

    /// Also for those that do not say what they are for: a `typ` of `JWT`, or none.
    pub(crate) const fn with_untyped_tokens(mut self) -> Self {
        self.untyped = true;
        self
    }

    pub(crate) const fn is_untyped_accepted(&self) -> bool {
        self.untyped
    }

    /// What `typ` may be, besides `JWT` where that is accepted.
    pub(crate) fn token_types(&self) -> &[Box<str>] {
        &self.token_types
    }

    /// Judges the header. No cryptography is done for a token that fails.
    pub(crate) fn check_header(&self, jwt: UnverifiedJwt) -> Result<HeaderCheckedJwt, AuthError> {
        let has = |names: &[&str]| names.iter().any(|name| jwt.header.contains_key(*name));
        if has(&["enc", "zip"]) {
            return Err(AuthError::new(Reason::EncryptedToken));
        }
        if has(&["crit", "b64"]) {
            return Err(AuthError::new(Reason::CriticalHeader));
        }
        // `x5t` only names a certificate, and Entra ID writes it into every token.
        if has(&["jwk", "jku", "x5c", "x5u"]) {
            return Err(AuthError::new(Reason::EmbeddedKey));
        }
        let algorithm = jwt.header.get("alg").and_then(Value::as_str).and_then(Algorithm::named);
        let Some(algorithm) = algorithm.filter(|algorithm| self.algorithms.contains(algorithm)) else {
            return Err(AuthError::new(Reason::AlgorithmRefused));
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
        match written {
            None => self.untyped,
            Some(Value::String(name)) => {
                let name = without_application(name);
                self.token_types.iter().any(|accepted| accepted.eq_ignore_ascii_case(name))
                    || self.untyped && name.eq_ignore_ascii_case("JWT")
            }
            Some(_) => false,
        }
    }

    /// What is wrong with the `typ` that is `written`. Anyone can write one, so it is cut.
    fn other_type(&self, written: Option<&Value>) -> String {
        let written = written.map_or_else(|| "absent".to_owned(), ToString::to_string);
        let written: String = written.chars().take(40).collect();
        let (types, untyped) = (&self.token_types, if self.untyped { ", \"JWT\" or absent" } else { "" });
        format!("the header `typ` is {written}; accepted is one of {types:?}{untyped} (`token_types`)")
    }
}

/// A media type without the part that may be left out.
/// [RFC 7515 section 4.1.9](https://www.rfc-editor.org/rfc/rfc7515#section-4.1.9)
fn without_application(media_type: &str) -> &str {
    const PREFIX: &str = "application/";
    match media_type.split_at_checked(PREFIX.len()) {
        Some((prefix, name)) if prefix.eq_ignore_ascii_case(PREFIX) => name,
        _ => media_type,
    }
}
