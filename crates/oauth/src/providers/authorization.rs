//! [`AuthorizationRequest`]: what a user is asked for, in the browser.

use std::fmt;

use portcullis_core::ScopeSet;
use url::form_urlencoded;

use super::Provider;
use crate::CodeVerifier;

/// What a user is asked for, in the browser. `Debug` prints neither `state` nor `nonce`.
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
    /// For a code that comes back to `redirect_uri` with `state`, and that only `verifier` redeems.
    #[must_use]
    pub fn new(client_id: &'a str, redirect_uri: &'a str, state: &'a str, verifier: &CodeVerifier) -> Self {
        let challenge = verifier.challenge();
        Self { client_id, redirect_uri, state, challenge, scopes: None, nonce: None, parameters: Vec::new() }
    }

    /// What to ask for. Default: the parameter is left out, and the provider decides.
    ///
    /// Keycloak, Atlassian and most others hand out a refresh token that outlives the session only for `offline_access`,
    /// Salesforce only for `refresh_token`, and an ID token needs `openid`: these are scopes, so they are asked for here.
    #[must_use]
    pub const fn with_scopes(mut self, scopes: &'a ScopeSet) -> Self {
        self.scopes = Some(scopes);
        self
    }

    /// What the ID token must repeat. Some demand it as soon as `openid` is asked for.
    #[must_use]
    pub const fn with_nonce(mut self, nonce: &'a str) -> Self {
        self.nonce = Some(nonce);
        self
    }

    /// A parameter of the vendor's, such as Google's `hd`. It takes the place of what the vendor's own file says under that name.
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

impl Provider {
    /// Where to send the user's browser.
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
            query.append_pair("scope", &scopes.to_string());
        }
        query.append_pair("state", request.state);
        query.append_pair("code_challenge", &request.challenge);
        query.append_pair("code_challenge_method", "S256");
        if let Some(nonce) = request.nonce {
            query.append_pair("nonce", nonce);
        }
        let replaced = |name| request.parameters.iter().any(|(own, _)| *own == name);
        query.extend_pairs(self.vendor.authorization.iter().filter(|(name, _)| !replaced(*name)));
        query.extend_pairs(&request.parameters);
        query.finish()
    }
}
