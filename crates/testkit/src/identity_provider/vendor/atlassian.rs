//! Atlassian (3LO): JSON both ways, 403 for a dead refresh token, and ten minutes of leeway.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::json;

use super::{
    Dialect, Endpoint, GrantedTokens, Parameters, Refusal, TokenPolicy, Visit, json, ok, standard::unstored,
    token_endpoint,
};

const DAY: Duration = Duration::from_secs(86_400);

/// As Atlassian has it, `auth` and `api` on one host.
pub(super) struct Atlassian;

impl Dialect for Atlassian {
    fn paths(&self) -> &'static [(Endpoint, &'static str)] {
        &[
            (Endpoint::Authorization, "/authorize"),
            (Endpoint::Token, "/oauth/token"),
            (Endpoint::UserInfo, "/me"),
            (Endpoint::AtlassianSites, "/oauth/token/accessible-resources"),
        ]
    }

    fn token_policy(&self) -> TokenPolicy {
        TokenPolicy::new()
            .with_reuse_leeway(Duration::from_secs(600))
            .with_jwt_access_tokens()
            .with_access_token_lifetime(Duration::from_secs(3600))
            .with_refresh_token_lifetime(DAY * 90)
    }

    fn gives_refresh_token(&self, scope: &str) -> bool {
        scope.split_whitespace().any(|scope| scope == "offline_access")
    }

    fn required_parameters(&self) -> &'static [&'static str] {
        &["audience", "prompt"]
    }

    fn sends_issuer(&self) -> bool {
        false
    }

    fn issues_id_tokens(&self) -> bool {
        false
    }

    fn parameters(&self, request: &Request<Bytes>) -> Result<Parameters, Refusal> {
        token_endpoint::json_object(request)
    }

    /// It does not say how long the refresh token lives.
    fn granted(&self, _base: &str, tokens: &GrantedTokens, _request: &Request<Bytes>) -> Response<Bytes> {
        let mut members = json!({"access_token": tokens.access_token, "token_type": "Bearer", "scope": tokens.scope});
        if let Some(lifetime) = tokens.expires_in {
            members["expires_in"] = lifetime.as_secs().into();
        }
        if let Some(refresh_token) = &tokens.refresh_token {
            members["refresh_token"] = refresh_token.as_str().into();
        }
        unstored(ok(&members))
    }

    fn refused(&self, refusal: Refusal, _request: &Request<Bytes>) -> Response<Bytes> {
        let (status, error, description) = match refusal {
            Refusal::UnknownClient | Refusal::WrongSecret => {
                (StatusCode::UNAUTHORIZED, "access_denied", "Unauthorized")
            }
            Refusal::CodeNotValid => (StatusCode::FORBIDDEN, "invalid_grant", "Invalid authorization code"),
            Refusal::VerifierMismatch => (StatusCode::FORBIDDEN, "invalid_grant", "Failed to verify code verifier"),
            refusal if refusal.error() == "invalid_grant" => {
                (StatusCode::FORBIDDEN, "invalid_grant", "Unknown or invalid refresh token.")
            }
            refusal => (StatusCode::BAD_REQUEST, refusal.error(), refusal.description()),
        };
        unstored(json(status, &json!({"error": error, "error_description": description})))
    }

    fn resource(&self, visit: &Visit<'_>) -> Response<Bytes> {
        match visit.endpoint {
            Endpoint::AtlassianSites => ok(&json!([{
                "id": "1324a887-45db-1bf4-1e99-ef0ff456d421",
                "name": "example",
                "url": "https://example.atlassian.test",
                "scopes": visit.scopes(),
                "avatarUrl": "https://example.atlassian.test/avatars/240/flag.png",
            }])),
            _ if !visit.scopes().contains(&"read:me") => self.forbidden(),
            _ => ok(&json!({
                "account_type": "atlassian",
                "account_id": visit.member("sub"),
                "account_status": "active",
                "email": visit.member("email"),
                "email_verified": true,
                "name": visit.member("name"),
                "nickname": visit.member("preferred_username"),
                "picture": "https://avatars.example.test/photo.png",
                "zoneinfo": "Europe/Berlin",
                "locale": "en-US",
                "extended_profile": {},
            })),
        }
    }

    fn token_dead(&self, _endpoint: Endpoint) -> Response<Bytes> {
        json(StatusCode::UNAUTHORIZED, &json!({"code": 401, "message": "Unauthorized"}))
    }

    fn forbidden(&self) -> Response<Bytes> {
        json(StatusCode::FORBIDDEN, &json!({"code": 403, "message": "Forbidden; scope does not match"}))
    }
}
