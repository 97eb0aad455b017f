//! [`Claims`]: what a token says, read by type.

use std::fmt;

use portcullis_core::{AuthError, Reason, ScopeSet, UnixTime};
use serde_json::{Map, Value};

use crate::strict_json::{self, InvalidJson};

/// What a token says, or what an authorization server says about it.
///
/// Each accessor answers `None` for an absent claim and refuses one of the wrong type: a claim that cannot be read is
/// never taken for one that is not there. That the claims are *true* is for [`Verified`](crate::Verified) to say.
/// [RFC 7519 section 4.1](https://www.rfc-editor.org/rfc/rfc7519#section-4.1).
///
/// ```
/// use portcullis_oauth::Claims;
///
/// let claims = Claims::parse(br#"{"sub":"alice","aud":["https://mcp.example.com"],"scope":7}"#)?;
/// assert_eq!(claims.subject()?, Some("alice"));
/// assert_eq!(claims.audience()?, ["https://mcp.example.com"]);
/// assert!(claims.scopes().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Claims(Map<String, Value>);

/// A claim that must be there is not, or it has the wrong type: [`Reason::MissingClaim`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("claim `{0}` is missing or has the wrong type")]
#[non_exhaustive]
pub struct InvalidClaim(pub &'static str);

impl From<InvalidClaim> for AuthError {
    fn from(claim: InvalidClaim) -> Self {
        Self::new(Reason::MissingClaim).with_source(claim)
    }
}

impl Claims {
    /// The claims in `members`.
    #[must_use]
    pub const fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// The claims written in `text`.
    ///
    /// # Errors
    /// [`InvalidJson`] if it is not one [strict](strict_json) JSON object.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidJson> {
        strict_json::parse_object(text).map(Self)
    }

    /// The members as they were written.
    #[must_use]
    pub fn into_inner(self) -> Map<String, Value> {
        self.0
    }

    /// The names of the claims.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The claim `name`, whatever it is.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// `iss`: who issued the token.
    ///
    /// # Errors
    /// [`InvalidClaim`] if it is not a string.
    pub fn issuer(&self) -> Result<Option<&str>, InvalidClaim> {
        self.text("iss")
    }

    /// `sub`: of whom the token speaks.
    ///
    /// # Errors
    /// [`InvalidClaim`] if it is not a string, or empty: an empty name would be everybody's.
    pub fn subject(&self) -> Result<Option<&str>, InvalidClaim> {
        self.name("sub")
    }

    /// `aud`: for whom the token is meant; empty if it does not say.
    ///
    /// # Errors
    /// [`InvalidClaim`] if it is neither a string nor a list of strings.
    pub fn audience(&self) -> Result<Vec<&str>, InvalidClaim> {
        self.texts("aud")
    }

    /// `exp`: when the token ends.
    ///
    /// # Errors
    /// [`InvalidClaim`] if it is not a `NumericDate`.
    pub fn expires_at(&self) -> Result<Option<UnixTime>, InvalidClaim> {
        self.date("exp")
    }

    /// `nbf`: when the token begins.
    ///
    /// # Errors
    /// [`InvalidClaim`] if it is not a `NumericDate`.
    pub fn not_before(&self) -> Result<Option<UnixTime>, InvalidClaim> {
        self.date("nbf")
    }

    /// `iat`: when the token was issued.
    ///
    /// # Errors
    /// [`InvalidClaim`] if it is not a `NumericDate`.
    pub fn issued_at(&self) -> Result<Option<UnixTime>, InvalidClaim> {
        self.date("iat")
    }

    /// `client_id`, else `azp`: the client that the token was issued to.
    ///
    /// # Errors
    /// [`InvalidClaim`] if it is not a string, or empty.
    pub fn client_id(&self) -> Result<Option<&str>, InvalidClaim> {
        Ok(self.name("client_id")?.or(self.name("azp")?))
    }

    /// `scope`, else `scp` (Okta, Entra ID): what the token may be used for, as one string or as a list of names.
    ///
    /// # Errors
    /// [`InvalidClaim`] if it is neither, or names what cannot be a scope.
    pub fn scopes(&self) -> Result<ScopeSet, InvalidClaim> {
        let claim = if self.0.contains_key("scope") { "scope" } else { "scp" };
        match self.0.get(claim) {
            Some(Value::String(text)) => ScopeSet::parse(text),
            _ => ScopeSet::new(self.texts(claim)?),
        }
        .map_err(|_| InvalidClaim(claim))
    }

    fn text(&self, claim: &'static str) -> Result<Option<&str>, InvalidClaim> {
        self.0.get(claim).map(|value| value.as_str().ok_or(InvalidClaim(claim))).transpose()
    }

    /// A claim that is a string, and not an empty one.
    pub(crate) fn name(&self, claim: &'static str) -> Result<Option<&str>, InvalidClaim> {
        match self.text(claim)? {
            Some("") => Err(InvalidClaim(claim)),
            name => Ok(name),
        }
    }

    /// A claim that is a string or a list of strings; empty if it is absent.
    pub(crate) fn texts(&self, claim: &'static str) -> Result<Vec<&str>, InvalidClaim> {
        match self.0.get(claim) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(values)) => {
                values.iter().map(|value| value.as_str().ok_or(InvalidClaim(claim))).collect()
            }
            Some(_) => Err(InvalidClaim(claim)),
        }
    }

    fn date(&self, claim: &'static str) -> Result<Option<UnixTime>, InvalidClaim> {
        let Some(value) = self.0.get(claim) else { return Ok(None) };
        let date = match value.as_u64() {
            Some(seconds) => Some(UnixTime::from_secs(seconds)),
            None => value.as_f64().and_then(UnixTime::from_numeric_date),
        };
        date.map(Some).ok_or(InvalidClaim(claim))
    }
}

/// The names only: values may be personal.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        match value {
            Value::Object(members) => Claims::new(members),
            _ => panic!("not an object"),
        }
    }

    #[test]
    fn an_absent_claim_is_none_and_an_unreadable_one_is_refused() {
        let empty = claims(json!({}));
        assert_eq!((empty.issuer(), empty.subject(), empty.expires_at()), (Ok(None), Ok(None), Ok(None)));
        assert_eq!(empty.scopes(), Ok(ScopeSet::default()));
        for wrong in [json!(null), json!(true), json!({}), json!(-1), json!([1])] {
            let all = claims(json!({
                "iss": wrong, "sub": wrong, "aud": wrong, "exp": wrong, "nbf": wrong, "iat": wrong, "azp": wrong,
                "scp": wrong,
            }));
            assert_eq!(all.issuer(), Err(InvalidClaim("iss")), "{wrong}");
            assert_eq!(all.subject(), Err(InvalidClaim("sub")), "{wrong}");
            assert_eq!(all.audience(), Err(InvalidClaim("aud")), "{wrong}");
            assert_eq!(all.expires_at(), Err(InvalidClaim("exp")), "{wrong}");
            assert_eq!(all.not_before(), Err(InvalidClaim("nbf")), "{wrong}");
            assert_eq!(all.issued_at(), Err(InvalidClaim("iat")), "{wrong}");
            assert_eq!(all.client_id(), Err(InvalidClaim("azp")), "{wrong}");
            assert_eq!(all.scopes(), Err(InvalidClaim("scp")), "{wrong}");
        }
        assert_eq!(claims(json!({"sub": ""})).subject(), Err(InvalidClaim("sub")));
    }

    #[test]
    fn scopes_are_read_in_every_known_spelling() {
        let expected = ScopeSet::parse("a b").expect("scopes");
        for written in
            [json!({"scope": "a b"}), json!({"scp": "a b"}), json!({"scp": ["a", "b"]}), json!({"scope": ["a", "b"]})]
        {
            assert_eq!(claims(written.clone()).scopes().as_ref(), Ok(&expected), "{written}");
        }
        assert_eq!(claims(json!({"scope": "a", "scp": "b"})).scopes().expect("scopes").to_string(), "a");
        for wrong in [json!({"scope": "a\"b"}), json!({"scp": ["a b"]}), json!({"scope": null, "scp": "a"})] {
            assert!(claims(wrong.clone()).scopes().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_numeric_date_may_have_a_fraction_or_be_absurd() {
        let all = claims(json!({"exp": 1.5, "nbf": 1e300, "iat": u64::MAX}));
        assert_eq!(all.expires_at(), Ok(Some(UnixTime::from_nanos(1_500_000_000))));
        assert_eq!(all.not_before(), Ok(Some(UnixTime::MAX)));
        assert_eq!(all.issued_at(), Ok(Some(UnixTime::MAX)));
    }

    #[test]
    fn the_client_is_client_id_before_azp() {
        assert_eq!(claims(json!({"client_id": "c", "azp": "a"})).client_id(), Ok(Some("c")));
        assert_eq!(claims(json!({"azp": "a"})).client_id(), Ok(Some("a")));
    }
}
