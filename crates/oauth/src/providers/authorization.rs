//! The authorization request and response, which pass through the user's browser.

use std::fmt;

use portcullis_core::ScopeSet;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use super::{Provider, token_error::loggable_description, vendor::Pkce};
use crate::{CodeVerifier, response::is_error_code};

/// An authorization request. `Debug` prints neither `state` nor `nonce`.
///
/// [RFC 6749 section 4.1.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1), always with PKCE
/// ([RFC 7636 section 4.3](https://www.rfc-editor.org/rfc/rfc7636#section-4.3)).
#[derive(Clone)]
pub struct AuthorizationRequest<'a> {
    client_id: &'a str,
    redirect_uri: &'a str,
    state: &'a str,
    challenge: String,
    scopes: Option<&'a ScopeSet>,
    nonce: Option<&'a str>,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> AuthorizationRequest<'a> {
    /// Creates a request for a code that is returned to `redirect_uri` with `state`, and can be redeemed only with `verifier`.
    #[must_use]
    pub fn new(client_id: &'a str, redirect_uri: &'a str, state: &'a str, verifier: &CodeVerifier) -> Self {
        let challenge = verifier.challenge();
        Self { client_id, redirect_uri, state, challenge, scopes: None, nonce: None, parameters: Vec::new() }
    }

    /// Sets the scopes to request. Default: the parameter is omitted, and the provider decides.
    ///
    /// Keycloak, Atlassian and most others issue a refresh token that outlives the session only for the scope `offline_access`, Salesforce
    /// only for `refresh_token`, and an ID token needs `openid`.
    #[must_use]
    pub const fn with_scopes(mut self, scopes: &'a ScopeSet) -> Self {
        self.scopes = Some(scopes);
        self
    }

    /// Sets the value that the ID token must repeat. Some providers require it whenever `openid` is requested.
    #[must_use]
    pub const fn with_nonce(mut self, nonce: &'a str) -> Self {
        self.nonce = Some(nonce);
        self
    }

    /// Adds a vendor-specific parameter, such as Google's `hd`. It replaces a default parameter of the vendor with the same name.
    #[must_use]
    pub fn with_parameter(mut self, name: &'a str, value: &'a str) -> Self {
        self.parameters.push((name, value));
        self
    }
}

impl fmt::Debug for AuthorizationRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationRequest")
            .field("client_id", &self.client_id)
            .field("redirect_uri", &self.redirect_uri)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// An authorization response: a code, or an error. `Debug` prints neither code nor `state`.
///
/// [RFC 6749 sections 4.1.2 and 4.1.2.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2). Any website can redirect a browser here with
/// any query, so nothing in it may be used before two checks: its `state` belongs to this browser, and its
/// [issuer](Provider::check_issuer) is the one that the request was sent to.
///
/// ```
/// use portcullis_oauth::providers::{AuthorizationResponse, Provider};
///
/// let response = AuthorizationResponse::parse("code=c0de&state=st4te&iss=https%3A%2F%2Faccounts.google.com")?;
/// assert!(response.has_state("st4te"), "the state in the cookie of this browser");
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

/// An error response: the provider, or the user there, denied the authorization.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the provider refused the authorization: {code:?} {description:?}")]
#[non_exhaustive]
pub struct AuthorizationRefusal {
    /// The error code, such as `access_denied`.
    pub code: String,
    /// The provider's description, if it is safe to log.
    pub description: Option<String>,
}

impl AuthorizationRefusal {
    /// Reports whether the user denied the request, or did not do at the provider what it needs: `access_denied`, the errors of
    /// [OpenID Connect Core 1.0 section 3.1.2.6](https://openid.net/specs/openid-connect-core-1_0.html#AuthError) about the user, and the
    /// vendors' own words for a cancelled login (LinkedIn, Facebook).
    #[must_use]
    pub fn is_by_user(&self) -> bool {
        const BY_USER: [&str; 9] = [
            "access_denied",
            "account_selection_required",
            "consent_required",
            "interaction_required",
            "login_required",
            "user_cancelled_authorize",
            "user_cancelled_login",
            "user_canceled",
            "user_denied",
        ];
        BY_USER.contains(&&*self.code)
    }
}

/// A query that is not a valid [`AuthorizationResponse`], or not one of the expected provider. It quotes nothing, because the query is
/// untrusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAuthorizationResponse {
    /// A parameter is present twice.
    #[error("parameter {0:?} is repeated")]
    Repeated(&'static str),
    /// A required parameter is missing.
    #[error("parameter {0:?} is missing")]
    Missing(&'static str),
    /// The response has both a code and an error.
    #[error("the response has both a code and an error")]
    Contradictory,
    /// The error code has characters that RFC 6749 does not allow.
    #[error("the error code has characters that are not allowed")]
    UnreadableError,
    /// The response comes from another authorization server: a mix-up, or an attack by that server
    /// ([RFC 9207 section 2.4](https://www.rfc-editor.org/rfc/rfc9207#section-2.4)).
    #[error("the response comes from another issuer")]
    OtherIssuer,
    /// The response does not name its issuer, although the provider's metadata says that all responses do.
    #[error("the response does not name its issuer, although the provider advertises it")]
    NoIssuer,
}

impl AuthorizationResponse {
    /// Parses `query`, which has no question mark.
    ///
    /// An empty parameter counts as absent. Other parameters are ignored.
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
                Err(AuthorizationRefusal { code, description: description.and_then(loggable_description) })
            }
            (None, Some(_)) => return Err(InvalidAuthorizationResponse::UnreadableError),
            (Some(_), Some(_)) => return Err(InvalidAuthorizationResponse::Contradictory),
            (None, None) => return Err(InvalidAuthorizationResponse::Missing("code")),
        };
        let state = state.ok_or(InvalidAuthorizationResponse::Missing("state"))?.into();
        Ok(Self { state, issuer, outcome })
    }

    /// Returns the `state` of the authorization request, by whose hash the pending login is found.
    #[must_use]
    pub const fn state(&self) -> &SecretString {
        &self.state
    }

    /// Reports whether it has the `state` of the request that this browser was redirected with. The comparison takes constant time.
    #[must_use]
    pub fn has_state(&self, state: &str) -> bool {
        self.state.expose_secret().as_bytes().ct_eq(state.as_bytes()).into()
    }

    /// Returns the issuer that the response names, if any: for [`Provider::check_issuer`].
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Returns the code.
    ///
    /// # Errors
    /// [`AuthorizationRefusal`] for an error response. Check the issuer before the error is acted upon or shown.
    pub fn into_code(self) -> Result<SecretString, AuthorizationRefusal> {
        self.outcome
    }
}

impl Provider {
    /// Returns the URL to which the user's browser is redirected.
    #[must_use]
    pub fn authorization_url(&self, request: &AuthorizationRequest<'_>) -> String {
        let endpoint = self.endpoints.authorization.to_string();
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        let query_start = endpoint.len() + 1;
        let mut query = form_urlencoded::Serializer::for_suffix(format!("{endpoint}{separator}"), query_start);
        query.append_pair("response_type", "code");
        query.append_pair("client_id", request.client_id);
        query.append_pair("redirect_uri", request.redirect_uri);
        if let Some(scopes) = request.scopes.filter(|scopes| !scopes.is_empty()) {
            let names: Vec<&str> = scopes.iter().collect();
            query.append_pair(
                &self.vendor.scope_parameter,
                &names.join(self.vendor.scope_separator.encode_utf8(&mut [0; 4])),
            );
        }
        query.append_pair("state", request.state);
        if self.vendor.pkce == Pkce::S256 {
            query.append_pair("code_challenge", &request.challenge);
            query.append_pair("code_challenge_method", "S256");
        }
        if let Some(nonce) = request.nonce {
            query.append_pair("nonce", nonce);
        }
        let replaced = |name: &str| request.parameters.iter().any(|(own, _)| *own == name);
        query.extend_pairs(self.vendor.authorization_parameters.iter().filter(|(name, _)| !replaced(name)));
        query.extend_pairs(&request.parameters);
        query.finish()
    }

    /// Checks by the parameter `iss` that a response comes from this provider. Call it before the code is sent anywhere.
    ///
    /// If the parameter is present, it must equal the issuer, byte for byte. It may be absent only if the provider does not
    /// [advertise](Self::advertises_issuer) it. [RFC 9207 section 2.4](https://www.rfc-editor.org/rfc/rfc9207#section-2.4)
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
