//! [`Claims`]: the claims of a token, with typed accessors; and which registered claims do not describe the user.

use std::fmt;

use portcullis_core::{AuthError, Reason, ScopeSet, UnixTime};
use serde_json::{Map, Value};

use crate::strict_json::{self, InvalidJson};

/// The claims of a token, or an authorization server's statement about a token.
///
/// Each accessor returns `None` for an absent claim and an error for a claim of the wrong type: a claim that cannot be read never counts as
/// absent. It does **not** say that the claims are true: [`Verified`](crate::Verified) does. `Debug` prints the names only.
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

/// A required claim is missing, or a claim has the wrong type: [`Reason::MissingClaim`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("claim `{0}` is missing or has the wrong type")]
#[non_exhaustive]
pub struct InvalidClaim(pub &'static str);

impl From<InvalidClaim> for AuthError {
    fn from(claim: InvalidClaim) -> Self {
        Self::new(Reason::MissingClaim).with_source(claim)
    }
}

/// Registered claims about the token itself: who issued it to whom, for what, and when.
///
/// RFC 7519, RFC 7662, RFC 7800, RFC 8693, RFC 8707, RFC 9068, RFC 9396, OpenID Connect, and those of vendors.
const TOKEN_CLAIMS: [&str; 30] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "typ",
    "token_type",
    "token_use",
    "active",
    "cnf",
    "azp",
    "client_id",
    "cid",
    "appid",
    "idtyp",
    "gty",
    "resource",
    // Its rights.
    "scope",
    "scp",
    "permissions",
    "authorization_details",
    "allowed-origins",
    // Delegation.
    "act",
    "may_act",
    // The messages that it was issued with.
    "nonce",
    "at_hash",
    "c_hash",
    "s_hash",
];

/// The standard claims that name the client, the first of which counts.
const CLIENT_CLAIMS: [&str; 2] = ["client_id", "azp"];
/// The claims of vendors that name the client, in tokens without a standard one: of Okta, and of Entra ID.
const VENDOR_CLIENT_CLAIMS: [&str; 2] = ["cid", "appid"];

/// Registered claims about the login of the user, and its session at the provider. OpenID Connect, and Keycloak's `session_state`.
const LOGIN_CLAIMS: [&str; 5] = ["acr", "amr", "auth_time", "sid", "session_state"];

/// Reports whether the claim `name` describes the token, and not its user. In the claims of another token it would be read as a right, or
/// as a statement about that token.
#[must_use]
pub fn describes_token(name: &str) -> bool {
    TOKEN_CLAIMS.contains(&name)
}

/// Reports whether the claim `name` describes a login of the user: it belongs to a session, and not to the profile.
#[must_use]
pub fn describes_login(name: &str) -> bool {
    LOGIN_CLAIMS.contains(&name)
}

impl Claims {
    /// Creates claims from the members of a JSON object.
    #[must_use]
    pub const fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// Parses a JSON object.
    ///
    /// # Errors
    /// [`InvalidJson`] if `text` is not one [strict](strict_json) JSON object.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidJson> {
        strict_json::parse_object(text).map(Self)
    }

    /// Returns the members of the JSON object.
    #[must_use]
    pub fn into_inner(self) -> Map<String, Value> {
        self.0
    }

    /// Returns the members of the JSON object, by reference.
    pub(crate) const fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Returns the names of the claims.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the claim `name` as a JSON value.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns `iss`: the issuer.
    ///
    /// # Errors
    /// [`InvalidClaim`] if it is not a string.
    pub fn issuer(&self) -> Result<Option<&str>, InvalidClaim> {
        self.text("iss")
    }

    /// Returns `sub`: the subject.
    ///
    /// # Errors
    /// [`InvalidClaim`] if it is not a string, or empty: an empty name identifies no user.
    pub fn subject(&self) -> Result<Option<&str>, InvalidClaim> {
        self.name("sub")
    }

    /// Returns `aud`: the audience; empty if it is absent.
    ///
    /// # Errors
    /// [`InvalidClaim`] if it is neither a string nor a list of strings.
    pub fn audience(&self) -> Result<Vec<&str>, InvalidClaim> {
        self.texts("aud")
    }

    /// Returns `exp`: the expiry.
    ///
    /// # Errors
    /// [`InvalidClaim`] if it is not a `NumericDate`.
    pub fn expires_at(&self) -> Result<Option<UnixTime>, InvalidClaim> {
        self.date("exp")
    }

    /// Returns `nbf`: the start of the lifetime.
    ///
    /// # Errors
    /// [`InvalidClaim`] if it is not a `NumericDate`.
    pub fn not_before(&self) -> Result<Option<UnixTime>, InvalidClaim> {
        self.date("nbf")
    }

    /// Returns `iat`: the time of issue.
    ///
    /// # Errors
    /// [`InvalidClaim`] if it is not a `NumericDate`.
    pub fn issued_at(&self) -> Result<Option<UnixTime>, InvalidClaim> {
        self.date("iat")
    }

    /// Returns the client that the token was issued to: `client_id`, else `azp`, `cid` (Okta) or `appid` (Entra ID).
    ///
    /// The last two count if they are strings: at other issuers they may be claims about something else.
    ///
    /// # Errors
    /// [`InvalidClaim`] if one of the first two is not a string, or empty.
    pub fn client_id(&self) -> Result<Option<&str>, InvalidClaim> {
        let standard = CLIENT_CLAIMS.iter().try_fold(None, |found, claim| Ok(found.or(self.name(claim)?)))?;
        let of_vendor = || VENDOR_CLIENT_CLAIMS.iter().find_map(|claim| self.name(claim).ok().flatten());
        Ok(standard.or_else(of_vendor))
    }

    /// Returns `scope`, else `scp` (Okta, Entra ID): the scopes, written as one string or as a list of names.
    ///
    /// # Errors
    /// [`InvalidClaim`] if it is neither, or contains an invalid scope.
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

    /// Returns a claim that is a string and not empty.
    pub(crate) fn name(&self, claim: &'static str) -> Result<Option<&str>, InvalidClaim> {
        match self.text(claim)? {
            Some("") => Err(InvalidClaim(claim)),
            name => Ok(name),
        }
    }

    /// Returns a claim that is a string or a list of strings; empty if it is absent.
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

/// Prints the names only: values may be personal.
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
    fn an_absent_claim_is_none_and_an_invalid_one_an_error() {
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
    fn a_numeric_date_may_have_a_fraction_or_be_huge() {
        let all = claims(json!({"exp": 1.5, "nbf": 1e300, "iat": u64::MAX}));
        assert_eq!(all.expires_at(), Ok(Some(UnixTime::from_nanos(1_500_000_000))));
        assert_eq!(all.not_before(), Ok(Some(UnixTime::MAX)));
        assert_eq!(all.issued_at(), Ok(Some(UnixTime::MAX)));
    }

    #[test]
    fn registered_claims_describe_the_token_the_login_or_the_user() {
        for name in ["iss", "aud", "scope", "scp", "permissions", "cnf", "act", "nonce", "at_hash", "cid", "idtyp"] {
            assert!(describes_token(name) && !describes_login(name), "{name}");
        }
        for name in ["acr", "amr", "auth_time", "sid", "session_state"] {
            assert!(describes_login(name) && !describes_token(name), "{name}");
        }
        for name in ["name", "email", "roles", "groups", "realm_access", "entitlements"] {
            assert!(!describes_token(name) && !describes_login(name), "{name}");
        }
    }

    #[test]
    fn the_client_is_client_id_before_the_names_of_vendors() {
        assert_eq!(claims(json!({"client_id": "c", "azp": "a"})).client_id(), Ok(Some("c")));
        for name in ["azp", "cid", "appid"] {
            assert_eq!(claims(json!({name: "a"})).client_id(), Ok(Some("a")), "{name}");
        }
        assert!(claims(json!({"client_id": "c", "azp": ""})).client_id().is_err());
        // A number of another meaning, at an issuer that names no client.
        assert_eq!(claims(json!({"cid": 7, "appid": ""})).client_id(), Ok(None));
        assert_eq!(claims(json!({"azp": "a", "cid": 7})).client_id(), Ok(Some("a")));
    }
}
