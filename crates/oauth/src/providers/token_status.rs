//! Requests about a token that was issued: introspection, the vendor's own check, revocation.

use bytes::Bytes;
use http::{Method, Request, Response};
use portcullis_core::BearerToken;
use secrecy::SecretString;
use serde_json::Value;

use super::{
    Provider, github,
    vendor::{RevocationFormat, TokenCheck, TokenFormat},
};
use crate::{
    Claims, ClientAuthentication, ProtocolError, Verified,
    client_authentication::form_post,
    introspection,
    response::{client_refused, error_members},
    revocation::{self, RevokedTokens},
    subject::Subject,
    user_info,
};

impl Provider {
    /// Returns the introspection request for an access token; `None` if the provider has no introspection endpoint. Its response goes to
    /// [`introspection::process`].
    #[must_use]
    pub fn introspection_request(&self, client: &ClientAuthentication, token: &BearerToken) -> Option<Request<Bytes>> {
        Some(introspection::request(self.endpoints.introspection.as_ref()?, client, token))
    }

    /// Returns the introspection request for a refresh token; `None` if the provider has no introspection endpoint.
    #[must_use]
    pub fn refresh_token_introspection_request(
        &self,
        client: &ClientAuthentication,
        refresh_token: &SecretString,
    ) -> Option<Request<Bytes>> {
        Some(introspection::refresh_token_request(self.endpoints.introspection.as_ref()?, client, refresh_token))
    }

    /// Reports whether the vendor has a [token check](Self::token_check_request) of its own.
    #[must_use]
    pub fn has_token_check(&self) -> bool {
        self.vendor.token_check.is_some()
    }

    /// Returns the request that asks whether `token` was issued to `client`, in the vendor's own way; `None` if the vendor has none. Its
    /// response goes to [`process_token_check`](Self::process_token_check).
    ///
    /// GitHub alone has one: [Check a token](https://docs.github.com/en/rest/apps/oauth-applications#check-a-token).
    #[must_use]
    pub fn token_check_request(&self, client: &ClientAuthentication, token: &BearerToken) -> Option<Request<Bytes>> {
        let TokenCheck::GitHub = self.vendor.token_check?;
        let derived = || Some(github::app_token(self.endpoints.revocation.as_ref()?, client));
        let endpoint = self.endpoints.token_check.clone().or_else(derived)?;
        Some(github::app_request(Method::POST, endpoint, client, token))
    }

    /// Returns the user, the scopes and the expiry of the token, as claims of this issuer, from the response to a
    /// [`token_check_request`](Self::token_check_request) of the same `client`.
    ///
    /// # Errors
    /// [`ProtocolError::TokenRefused`] if the token was not issued to `client`; other [`ProtocolError`]s if the response does not tell.
    pub fn process_token_check(
        &self,
        client: &ClientAuthentication,
        response: &Response<Bytes>,
    ) -> Result<Verified<Claims>, ProtocolError> {
        let TokenCheck::GitHub = self.vendor.token_check.ok_or(ProtocolError::InvalidMember("active"))?;
        let (subject, claims) = github::process_token_check(client, response)?;
        Ok(Verified::assertion(self.issuer.clone(), Subject::user(subject), claims))
    }

    /// Returns the request that ends the grant behind `tokens`; `None` if the provider cannot do that. Its response goes to
    /// [`process_revocation`](Self::process_revocation).
    ///
    /// At GitHub it deletes the access token alone: the user's authorization of the app and other sessions remain.
    #[must_use]
    pub fn revocation_request(
        &self,
        client: &ClientAuthentication,
        tokens: RevokedTokens<'_>,
    ) -> Option<Request<Bytes>> {
        let (endpoint, vendor) = (self.endpoints.revocation.as_ref()?, &self.vendor);
        let RevokedTokens { access_token, .. } = tokens;
        let access = access_token.expose_secret();
        let ((token, hint), format) = (tokens.strongest(), TokenFormat::Form);
        let mut request = match vendor.revocation {
            RevocationFormat::Form => {
                client.request(endpoint, &[("token", token), ("token_type_hint", hint)], format, vendor.credentials)
            }
            RevocationFormat::AccessTokenForm => {
                client.request(endpoint, &[("token", access)], format, vendor.credentials)
            }
            RevocationFormat::Json => {
                client.request(endpoint, &[("token", access)], TokenFormat::Json, vendor.credentials)
            }
            RevocationFormat::TokenAlone => form_post(endpoint, &[("token", token)]),
            RevocationFormat::Bearer => {
                let mut request = user_info::request(endpoint, access_token);
                *request.method_mut() = Method::POST;
                request
            }
            RevocationFormat::GitHub => {
                github::app_request(Method::DELETE, github::app_token(endpoint, client), client, access_token)
            }
        };
        request.headers_mut().extend(vendor.headers.clone());
        Some(request)
    }

    /// Reports whether ending one grant ends other grants of the same user to the same client: at Google, and at Keycloak in releases
    /// before 2025.
    #[must_use]
    pub fn revocation_ends_other_logins(&self) -> bool {
        self.vendor.revocation_ends_other_logins
    }

    /// Processes the response to a [`revocation_request`](Self::revocation_request). Tokens that were invalid before count as revoked.
    ///
    /// # Errors
    /// [`ProtocolError`] if the response does not confirm it. The tokens may still be valid.
    pub fn process_revocation(&self, response: &Response<Bytes>) -> Result<(), ProtocolError> {
        if self.vendor.revoked_already.contains(&response.status()) {
            return Ok(());
        }
        // Slack: the status is 200 for errors as well.
        match error_members(response).and_then(|members| members.get("ok").cloned()) {
            Some(Value::Bool(false)) if !self.says_dead_token(response) => Err(client_refused(response)),
            _ => revocation::process(response),
        }
    }
}
