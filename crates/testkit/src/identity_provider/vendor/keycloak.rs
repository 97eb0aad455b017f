//! Keycloak: a realm, errors that say why, and roles that stand in the access token.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::WWW_AUTHENTICATE};
use serde_json::{Map, Value, json};

use super::{Dialect, Endpoint, GrantedTokens, Refusal, TokenPolicy, Visit, json, ok, standard::unstored};

const SESSION_STATE: &str = "0b4b2b4e-6b7a-4f0a-9d0e-3f6f5a0c8a11";

/// The realm `test`.
pub(super) struct Keycloak;

impl Dialect for Keycloak {
    fn paths(&self) -> &'static [(Endpoint, &'static str)] {
        &[
            (Endpoint::OpenIdConfiguration, "/.well-known/openid-configuration"),
            (Endpoint::KeySet, "/protocol/openid-connect/certs"),
            (Endpoint::Authorization, "/protocol/openid-connect/auth"),
            (Endpoint::Token, "/protocol/openid-connect/token"),
            (Endpoint::Revocation, "/protocol/openid-connect/revoke"),
            (Endpoint::Introspection, "/protocol/openid-connect/token/introspect"),
            (Endpoint::UserInfo, "/protocol/openid-connect/userinfo"),
        ]
    }

    fn issuer_path(&self) -> &'static str {
        "/realms/test"
    }

    /// "Revoke Refresh Token" is off: every refresh brings a new refresh token, and the old ones stay good.
    fn token_policy(&self) -> TokenPolicy {
        TokenPolicy::new()
            .with_reuse_leeway(Duration::MAX)
            .with_jwt_access_tokens()
            .with_access_token_lifetime(Duration::from_secs(300))
            .with_refresh_token_lifetime(Duration::from_secs(1800))
    }

    fn response_parameters(&self) -> &'static [(&'static str, &'static str)] {
        &[("session_state", SESSION_STATE)]
    }

    fn claims(&self, profile: &Map<String, Value>) -> Map<String, Value> {
        let roles = profile.get("realm_access").cloned();
        let roles = roles.unwrap_or_else(|| json!({"roles": ["offline_access", "default-roles-test"]}));
        let username = profile.get("preferred_username").cloned().unwrap_or_default();
        let claims = [("typ", json!("Bearer")), ("realm_access", roles), ("preferred_username", username)];
        claims.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }

    /// The refresh token of an offline session lives on for an unknown time, which is written as 0.
    fn granted(&self, _base: &str, tokens: &GrantedTokens, _request: &Request<Bytes>) -> Response<Bytes> {
        let lifetime = tokens.refresh_expires_in.filter(|_| !is_offline(&tokens.scope)).unwrap_or_default();
        let mut members = json!({
            "access_token": tokens.access_token,
            "refresh_expires_in": lifetime.as_secs(),
            "token_type": "Bearer",
            "not-before-policy": 0,
            "session_state": SESSION_STATE,
            "scope": tokens.scope,
        });
        if let Some(lifetime) = tokens.expires_in {
            members["expires_in"] = lifetime.as_secs().into();
        }
        if let Some(refresh_token) = &tokens.refresh_token {
            members["refresh_token"] = refresh_token.as_str().into();
        }
        if let Some(id_token) = &tokens.id_token {
            members["id_token"] = id_token.as_str().into();
        }
        unstored(ok(&members))
    }

    fn refused(&self, refusal: Refusal, _request: &Request<Bytes>) -> Response<Bytes> {
        let (status, description) = match refusal {
            Refusal::UnknownClient | Refusal::WrongSecret => {
                (StatusCode::UNAUTHORIZED, "Invalid client or Invalid client credentials")
            }
            Refusal::AnotherClient => (StatusCode::BAD_REQUEST, "Session doesn't have required client"),
            Refusal::CodeNotValid => (StatusCode::BAD_REQUEST, "Code not valid"),
            Refusal::GrantEnded => (StatusCode::BAD_REQUEST, "Session not active"),
            Refusal::RefreshTokenExpired => (StatusCode::BAD_REQUEST, "Token is not active"),
            Refusal::RefreshTokenReused => (StatusCode::BAD_REQUEST, "Maximum allowed refresh token reuse exceeded"),
            Refusal::RefreshTokenUnknown => (StatusCode::BAD_REQUEST, "Invalid refresh token"),
            Refusal::VerifierMismatch => (StatusCode::BAD_REQUEST, "PKCE verification failed"),
            Refusal::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "Unsupported grant_type"),
            Refusal::InvalidScope => (StatusCode::BAD_REQUEST, "Invalid scopes"),
            Refusal::InvalidRequest(description) => (StatusCode::BAD_REQUEST, description),
        };
        unstored(json(status, &json!({"error": refusal.error(), "error_description": description})))
    }

    fn access_tokens_end_alone(&self) -> bool {
        true
    }

    /// Nothing without the scope `openid`; roles are not among what it tells.
    fn resource(&self, visit: &Visit<'_>) -> Response<Bytes> {
        if !visit.scopes().contains(&"openid") {
            return self.forbidden();
        }
        let mut members = visit.profile.clone();
        members.remove("id");
        members.remove("realm_access");
        members.insert("email_verified".to_owned(), true.into());
        ok(&Value::Object(members))
    }

    fn token_missing(&self, _endpoint: Endpoint) -> Response<Bytes> {
        let members = json!({"error": "invalid_request", "error_description": "Token not provided"});
        json(StatusCode::BAD_REQUEST, &members)
    }

    fn token_dead(&self, _endpoint: Endpoint) -> Response<Bytes> {
        refused_by_user_info(StatusCode::UNAUTHORIZED, "invalid_token", "Token verification failed")
    }

    fn forbidden(&self) -> Response<Bytes> {
        refused_by_user_info(StatusCode::FORBIDDEN, "insufficient_scope", "Missing openid scope")
    }
}

fn is_offline(scope: &str) -> bool {
    scope.split_whitespace().any(|scope| scope == "offline_access")
}

fn refused_by_user_info(status: StatusCode, error: &str, description: &str) -> Response<Bytes> {
    let mut response = json(status, &json!({"error": error, "error_description": description}));
    let challenge = format!("Bearer realm=\"test\", error=\"{error}\", error_description=\"{description}\"");
    let challenge = HeaderValue::try_from(challenge).expect("visible ASCII");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}
