//! Salesforce: no `expires_in`, an instance, and 403 for a dead access token.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::{
    Dialect, Endpoint, GrantedTokens, Parameters, Refusal, State, TokenPolicy, Visit, body, empty, json, ok,
    standard::unstored,
};

const ORGANIZATION: &str = "00D5f000000TestEAA";

/// As Salesforce has it; the instance is the host itself.
pub(super) struct Salesforce;

impl Dialect for Salesforce {
    fn paths(&self) -> &'static [(Endpoint, &'static str)] {
        &[
            (Endpoint::OpenIdConfiguration, "/.well-known/openid-configuration"),
            (Endpoint::KeySet, "/id/keys"),
            (Endpoint::Authorization, "/services/oauth2/authorize"),
            (Endpoint::Token, "/services/oauth2/token"),
            (Endpoint::Revocation, "/services/oauth2/revoke"),
            (Endpoint::Introspection, "/services/oauth2/introspect"),
            (Endpoint::UserInfo, "/services/oauth2/userinfo"),
        ]
    }

    fn token_policy(&self) -> TokenPolicy {
        TokenPolicy::new().with_access_token_lifetime(Duration::from_secs(7200)).without_expires_in()
    }

    fn prefixes(&self, _policy: &TokenPolicy) -> (&'static str, &'static str) {
        ("00D5f000000Test!AQ.", "5Aep861")
    }

    /// Only for a scope of that name.
    fn is_offline(&self, request: &Parameters, _has_consented: bool) -> bool {
        let scopes = request.get("scope").map(String::as_str).unwrap_or_default();
        scopes.split(' ').any(|scope| ["refresh_token", "offline_access"].contains(&scope))
    }

    fn sends_issuer(&self) -> bool {
        false
    }

    fn subject(&self, base: &str, profile: &Map<String, Value>) -> Value {
        identity_url(base, profile.get("id").unwrap_or(&Value::Null)).into()
    }

    fn granted(&self, base: &str, tokens: &GrantedTokens, _request: &Request<Bytes>) -> Response<Bytes> {
        let mut members = json!({
            "access_token": tokens.access_token,
            "signature": "c2lnbmF0dXJlIG9mIGlkIGFuZCBpc3N1ZWRfYXQ=",
            "scope": tokens.scope,
            "instance_url": base,
            "id": identity_url(base, &tokens.user_id),
            "token_type": "Bearer",
            "issued_at": (tokens.issued_at.as_secs() * 1000).to_string(),
        });
        if let Some(refresh_token) = &tokens.refresh_token {
            members["refresh_token"] = refresh_token.as_str().into();
        }
        if let Some(id_token) = &tokens.id_token {
            members["id_token"] = id_token.as_str().into();
        }
        unstored(ok(&members))
    }

    fn refused(&self, refusal: Refusal, _request: &Request<Bytes>) -> Response<Bytes> {
        let (error, description) = match refusal {
            Refusal::UnknownClient => ("invalid_client_id", "client identifier invalid"),
            Refusal::WrongSecret => ("invalid_client", "invalid client credentials"),
            Refusal::CodeNotValid => ("invalid_grant", "invalid authorization code"),
            Refusal::VerifierMismatch => ("invalid_grant", "invalid code verifier"),
            Refusal::UnsupportedGrantType => ("unsupported_grant_type", "grant type not supported"),
            refusal if refusal.error() == "invalid_grant" => ("invalid_grant", "expired access/refresh token"),
            refusal => (refusal.error(), refusal.description()),
        };
        unstored(json(StatusCode::BAD_REQUEST, &json!({"error": error, "error_description": description})))
    }

    /// Any holder of a token may revoke it: an access token alone, a refresh token with the grant.
    fn revocation(&self, state: &mut State, request: &Request<Bytes>) -> Response<Bytes> {
        let mut parameters = form_urlencoded::parse(request.body()).into_owned();
        let token = parameters.find_map(|(name, value)| (name == "token").then_some(value)).unwrap_or_default();
        let was_known = state.tokens.remove(&token).is_some() || state.end_grant_of(&token);
        if was_known {
            return empty(StatusCode::OK);
        }
        let members = json!({"error": "invalid_token", "error_description": "invalid token"});
        json(StatusCode::BAD_REQUEST, &members)
    }

    fn resource(&self, visit: &Visit<'_>) -> Response<Bytes> {
        let user_id = visit.member("id");
        ok(&json!({
            "sub": identity_url(visit.base, &user_id),
            "user_id": user_id_of(&user_id),
            "organization_id": ORGANIZATION,
            "preferred_username": format!("{}@test.example", visit.text("preferred_username")),
            "nickname": visit.member("preferred_username"),
            "name": visit.member("name"),
            "email": visit.member("email"),
            "email_verified": true,
            "family_name": visit.member("name"),
            "zoneinfo": "Europe/Berlin",
            "photos": {"picture": format!("{}/profilephoto/005/F", visit.base), "thumbnail": format!("{}/profilephoto/005/T", visit.base)},
            "picture": format!("{}/profilephoto/005/F", visit.base),
            "urls": {"rest": format!("{}/services/data/v{{version}}/", visit.base), "custom_domain": visit.base},
            "active": true,
            "user_type": "STANDARD",
            "language": "en_US",
            "locale": "en_US",
            "is_app_installed": true,
        }))
    }

    fn token_missing(&self, _endpoint: Endpoint) -> Response<Bytes> {
        body(StatusCode::FORBIDDEN, "text/html;charset=UTF-8", "Missing_OAuth_Token")
    }

    fn token_dead(&self, _endpoint: Endpoint) -> Response<Bytes> {
        body(StatusCode::FORBIDDEN, "text/html;charset=UTF-8", "Bad_OAuth_Token")
    }

    fn forbidden(&self) -> Response<Bytes> {
        let message = "This feature is not currently enabled for this user type or org: [UserInfo]";
        json(StatusCode::FORBIDDEN, &json!([{"message": message, "errorCode": "FUNCTIONALITY_NOT_ENABLED"}]))
    }
}

fn user_id_of(number: &Value) -> String {
    format!("005{:0>12}AAA", number.to_string())
}

fn identity_url(base: &str, number: &Value) -> String {
    format!("{base}/id/{ORGANIZATION}/{}", user_id_of(number))
}
