//! A provider of no vendor in particular: as the standards have it, and GitHub's endpoints beside.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};

use super::{Dialect, Endpoint, GrantedTokens, Refusal, Visit, github, json, ok, refused_token};

/// A provider of no vendor in particular.
pub(crate) struct Standard;

impl Dialect for Standard {
    fn paths(&self) -> &'static [(Endpoint, &'static str)] {
        &[
            (Endpoint::AuthorizationServerMetadata, "/.well-known/oauth-authorization-server"),
            (Endpoint::OpenIdConfiguration, "/.well-known/openid-configuration"),
            (Endpoint::KeySet, "/jwks"),
            (Endpoint::Authorization, "/authorize"),
            (Endpoint::Token, "/token"),
            (Endpoint::Registration, "/register"),
            (Endpoint::Revocation, "/revoke"),
            (Endpoint::Introspection, "/introspect"),
            (Endpoint::UserInfo, "/userinfo"),
            (Endpoint::GitHubUser, "/user"),
            (Endpoint::GitHubTokenCheck, "/applications/{}/token"),
        ]
    }

    fn resource(&self, visit: &Visit<'_>) -> Response<Bytes> {
        match visit.endpoint {
            Endpoint::GitHubUser => github::user(visit, visit.member("email")),
            _ => {
                let mut members = visit.profile.clone();
                members.remove("id");
                ok(&Value::Object(members))
            }
        }
    }

    fn token_dead(&self, endpoint: Endpoint) -> Response<Bytes> {
        let mut response = refused_token("invalid_token");
        if endpoint == Endpoint::GitHubUser {
            *response.body_mut() = github::BAD_CREDENTIALS.into();
        }
        response
    }

    fn forbidden(&self) -> Response<Bytes> {
        insufficient_scope()
    }
}

/// [RFC 6750 section 3.1](https://www.rfc-editor.org/rfc/rfc6750#section-3.1).
fn insufficient_scope() -> Response<Bytes> {
    let mut response = refused_token("insufficient_scope");
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

pub(super) fn rate_limited() -> Response<Bytes> {
    let mut response = json(StatusCode::TOO_MANY_REQUESTS, &json!({"error": "temporarily_unavailable"}));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("30"));
    response
}

/// [RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749#section-5.1).
pub(super) fn granted(tokens: &GrantedTokens) -> Response<Bytes> {
    let mut body = json!({"access_token": tokens.access_token, "token_type": "Bearer", "scope": tokens.scope});
    if let Some(lifetime) = tokens.expires_in {
        body["expires_in"] = lifetime.as_secs().into();
    }
    if let Some(refresh_token) = &tokens.refresh_token {
        body["refresh_token"] = refresh_token.as_str().into();
    }
    if let Some(lifetime) = tokens.refresh_expires_in {
        body["refresh_expires_in"] = lifetime.as_secs().into();
    }
    if let Some(id_token) = &tokens.id_token {
        body["id_token"] = id_token.as_str().into();
    }
    unstored(ok(&body))
}

/// [RFC 6749 section 5.2](https://www.rfc-editor.org/rfc/rfc6749#section-5.2).
pub(super) fn refused(refusal: Refusal) -> Response<Bytes> {
    let body = json!({"error": refusal.error(), "error_description": refusal.description()});
    if refusal.is_about_the_client() {
        let mut response = json(StatusCode::UNAUTHORIZED, &body);
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"idp\""));
        return unstored(response);
    }
    unstored(json(StatusCode::BAD_REQUEST, &body))
}

pub(super) fn unstored(mut response: Response<Bytes>) -> Response<Bytes> {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
