//! Google: a refresh token that stays, and is not named again.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::WWW_AUTHENTICATE};
use serde_json::json;
use url::form_urlencoded;

use super::{Dialect, Endpoint, Parameters, Refusal, State, TokenPolicy, Visit, json, ok, standard::unstored};

/// As Google has it, all on one host.
pub(super) struct Google;

impl Dialect for Google {
    fn paths(&self) -> &'static [(Endpoint, &'static str)] {
        &[
            (Endpoint::OpenIdConfiguration, "/.well-known/openid-configuration"),
            (Endpoint::KeySet, "/oauth2/v3/certs"),
            (Endpoint::Authorization, "/o/oauth2/v2/auth"),
            (Endpoint::Token, "/token"),
            (Endpoint::Revocation, "/revoke"),
            (Endpoint::UserInfo, "/v1/userinfo"),
        ]
    }

    fn token_policy(&self) -> TokenPolicy {
        TokenPolicy::new().with_refresh_token_omitted().with_access_token_lifetime(Duration::from_secs(3599))
    }

    fn prefixes(&self, _policy: &TokenPolicy) -> (&'static str, &'static str) {
        ("ya29.", "1//")
    }

    /// For `access_type=offline`; for users who consented before only if consent is requested again.
    fn is_offline(&self, request: &Parameters, has_consented: bool) -> bool {
        let has = |name: &str, value| request.get(name).is_some_and(|values| values.split(' ').any(|one| one == value));
        has("access_type", "offline") && (!has_consented || has("prompt", "consent"))
    }

    fn response_parameters(&self) -> &'static [(&'static str, &'static str)] {
        &[("authuser", "0"), ("prompt", "consent")]
    }

    fn refused(&self, refusal: Refusal, _request: &Request<Bytes>) -> Response<Bytes> {
        let (status, description) = match refusal {
            Refusal::UnknownClient => (StatusCode::UNAUTHORIZED, "The OAuth client was not found."),
            Refusal::WrongSecret => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Refusal::GrantEnded
            | Refusal::RefreshTokenExpired
            | Refusal::RefreshTokenReused
            | Refusal::RefreshTokenUnknown => (StatusCode::BAD_REQUEST, "Token has been expired or revoked."),
            Refusal::CodeNotValid => (StatusCode::BAD_REQUEST, "Malformed auth code."),
            Refusal::VerifierMismatch => (StatusCode::BAD_REQUEST, "Invalid code verifier."),
            Refusal::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "Invalid grant_type."),
            Refusal::InvalidRequest(_) | Refusal::InvalidScope | Refusal::AnotherClient => {
                (StatusCode::BAD_REQUEST, "Bad Request")
            }
        };
        unstored(json(status, &json!({"error": refusal.error(), "error_description": description})))
    }

    /// Any holder of a token may revoke it, and with it the grant; in the query or in the body.
    fn revocation(&self, state: &mut State, request: &Request<Bytes>) -> Response<Bytes> {
        let query = request.uri().query().unwrap_or_default();
        let mut parameters = form_urlencoded::parse(query.as_bytes()).chain(form_urlencoded::parse(request.body()));
        let token = parameters.find_map(|(name, token)| (name == "token").then_some(token));
        if token.is_some_and(|token| state.end_grant_of(&token)) {
            return ok(&json!({}));
        }
        let members = json!({"error": "invalid_token", "error_description": "Token expired or revoked"});
        json(StatusCode::BAD_REQUEST, &members)
    }

    fn resource(&self, visit: &Visit<'_>) -> Response<Bytes> {
        ok(&json!({
            "sub": visit.member("sub"),
            "name": visit.member("name"),
            "given_name": visit.member("name"),
            "picture": "https://lh3.example.test/photo.jpg",
            "email": visit.member("email"),
            "email_verified": true,
        }))
    }

    fn token_dead(&self, _endpoint: Endpoint) -> Response<Bytes> {
        let members = json!({"error": "invalid_request", "error_description": "Invalid Credentials"});
        let mut response = json(StatusCode::UNAUTHORIZED, &members);
        let challenge =
            HeaderValue::from_static("Bearer realm=\"https://accounts.google.com/\", error=\"invalid_token\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        response
    }

    fn forbidden(&self) -> Response<Bytes> {
        let message = "Request had insufficient authentication scopes.";
        let error = json!({"code": 403, "message": message, "status": "PERMISSION_DENIED"});
        json(StatusCode::FORBIDDEN, &json!({"error": error}))
    }
}
