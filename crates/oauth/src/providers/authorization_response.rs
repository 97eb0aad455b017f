//! [`AuthorizationResponse`]: what comes back through the user's browser.

use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use super::{Provider, token_refusal::fit_for_a_log};
use crate::response::is_error_code;

/// What comes back through the user's browser: a code, or why there is none. `Debug` prints neither code nor `state`.
///
/// [RFC 6749 sections 4.1.2 and 4.1.2.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2). Anybody can send a browser here with
/// anything: nothing in it is true before its `state` is known to be one of this browser, and its
/// [issuer](Provider::check_issuer) the one that was asked.
///
/// ```
/// use portcullis_oauth::providers::{AuthorizationResponse, Provider};
///
/// let response = AuthorizationResponse::parse("code=c0de&state=st4te&iss=https%3A%2F%2Faccounts.google.com")?;
/// assert!(response.has_state("st4te"), "what this browser was sent away with");
/// Provider::google().check_issuer(response.issuer())?;
/// assert!(response.into_code().is_ok());
///
/// let refused = AuthorizationResponse::parse("error=access_denied&state=st4te")?;
/// assert_eq!(refused.into_code().unwrap_err().code, "access_denied");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AuthorizationResponse {
    state: SecretString,
    issuer: Option<String>,
    outcome: Result<SecretString, AuthorizationRefusal>,
}

/// Why there is no code: the provider, or the user there, said no.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the provider refused the authorization: {code:?} {description:?}")]
#[non_exhaustive]
pub struct AuthorizationRefusal {
    /// The error code, such as `access_denied`.
    pub code: String,
    /// What the provider says about it, if it is fit for a log line.
    pub description: Option<String>,
}

/// Why a query is no [`AuthorizationResponse`], or none of the provider that was asked. It quotes nothing: anybody may have
/// written it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAuthorizationResponse {
    /// A parameter is there twice.
    #[error("parameter {0:?} is repeated")]
    Repeated(&'static str),
    /// A parameter that must be there is not.
    #[error("parameter {0:?} is missing")]
    Missing(&'static str),
    /// Both a code and an error.
    #[error("both a code and an error")]
    Contradictory,
    /// An error code with characters that no error code has.
    #[error("an error code that cannot be read")]
    UnreadableError,
    /// The response of another authorization server: a mix-up, or an attack by one
    /// ([RFC 9207 section 2.4](https://www.rfc-editor.org/rfc/rfc9207#section-2.4)).
    #[error("the response of another issuer")]
    OtherIssuer,
    /// A response that does not name its issuer, though the provider says that all of its do.
    #[error("the response does not name its issuer, though the provider says that it would")]
    NoIssuer,
}

impl AuthorizationResponse {
    /// The response written in `query`, without the question mark.
    ///
    /// An empty parameter is as good as an absent one, and parameters that nobody needs here are not looked at.
    ///
    /// # Errors
    /// [`InvalidAuthorizationResponse`].
    pub fn parse(query: &str) -> Result<Self, InvalidAuthorizationResponse> {
        const NAMES: [&str; 5] = ["state", "iss", "code", "error", "error_description"];
        let mut values = [const { None::<String> }; 5];
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let known = NAMES.into_iter().zip(&mut values).find(|(known, _)| name == *known);
            match known {
                Some((name, Some(_))) => return Err(InvalidAuthorizationResponse::Repeated(name)),
                Some((_, slot)) => *slot = Some(value.into_owned()),
                None => {}
            }
        }
        let [state, issuer, code, error, description] = values.map(|value| value.filter(|text| !text.is_empty()));
        let outcome = match (code, error) {
            (Some(code), None) => Ok(code.into()),
            (None, Some(code)) if is_error_code(&code) => {
                Err(AuthorizationRefusal { code, description: description.and_then(fit_for_a_log) })
            }
            (None, Some(_)) => return Err(InvalidAuthorizationResponse::UnreadableError),
            (Some(_), Some(_)) => return Err(InvalidAuthorizationResponse::Contradictory),
            (None, None) => return Err(InvalidAuthorizationResponse::Missing("code")),
        };
        let state = state.ok_or(InvalidAuthorizationResponse::Missing("state"))?.into();
        Ok(Self { state, issuer, outcome })
    }

    /// What the authorization request said: for finding what is known of that login by a hash of it.
    #[must_use]
    pub const fn state(&self) -> &SecretString {
        &self.state
    }

    /// Whether it answers the request that this browser was sent away with: compared in constant time.
    #[must_use]
    pub fn has_state(&self, state: &str) -> bool {
        self.state.expose_secret().as_bytes().ct_eq(state.as_bytes()).into()
    }

    /// Who answers, if the response says: for [`Provider::check_issuer`].
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The code.
    ///
    /// # Errors
    /// [`AuthorizationRefusal`] if there is none. It is not to be acted upon or shown before the issuer was checked.
    pub fn into_code(self) -> Result<SecretString, AuthorizationRefusal> {
        self.outcome
    }
}

impl Provider {
    /// Checks that a response is of this provider, by its parameter `iss`: before its code goes anywhere.
    ///
    /// Where it is there it must be this issuer, byte for byte; where it is not, the provider must not have said that it
    /// [would be](Self::advertises_issuer). [RFC 9207 section 2.4](https://www.rfc-editor.org/rfc/rfc9207#section-2.4)
    ///
    /// # Errors
    /// [`InvalidAuthorizationResponse::OtherIssuer`], [`InvalidAuthorizationResponse::NoIssuer`].
    pub fn check_issuer(&self, issuer: Option<&str>) -> Result<(), InvalidAuthorizationResponse> {
        match issuer {
            Some(issuer) if self.is_named(issuer) => Ok(()),
            Some(_) => Err(InvalidAuthorizationResponse::OtherIssuer),
            None if self.advertises_issuer() => Err(InvalidAuthorizationResponse::NoIssuer),
            None => Ok(()),
        }
    }
}
