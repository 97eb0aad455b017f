//! GitHub: errors with status 200, forms unless JSON is asked for, and nothing without a `User-Agent`.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, USER_AGENT},
};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{
    Dialect, Endpoint, GrantedTokens, Refusal, State, TokenPolicy, Visit, basic, body, challenged, client, empty, json,
    ok,
};

pub(super) const BAD_CREDENTIALS: &str = r#"{"message":"Bad credentials"}"#;

const FORBIDDEN_BY_RULES: &str =
    "Request forbidden by administrative rules. Please make sure your request has a User-Agent header";

/// As a GitHub App has it, or an OAuth App if there are no refresh tokens.
pub(super) struct GitHub;

impl Dialect for GitHub {
    fn paths(&self) -> &'static [(Endpoint, &'static str)] {
        &[
            (Endpoint::Authorization, "/login/oauth/authorize"),
            (Endpoint::Token, "/login/oauth/access_token"),
            (Endpoint::GitHubUser, "/user"),
            (Endpoint::GitHubEmails, "/user/emails"),
            (Endpoint::GitHubTokenCheck, "/applications/{}/token"),
            (Endpoint::Revocation, "/applications/{}/token"),
        ]
    }

    fn token_policy(&self) -> TokenPolicy {
        TokenPolicy::new()
            .without_reuse_detection()
            .with_only_newest_access_token()
            .with_access_token_lifetime(Duration::from_secs(28_800))
            .with_refresh_token_lifetime(Duration::from_secs(15_811_200))
    }

    fn prefixes(&self, policy: &TokenPolicy) -> (&'static str, &'static str) {
        (if policy.issues_refresh_tokens { "ghu_" } else { "gho_" }, "ghr_")
    }

    fn sends_issuer(&self) -> bool {
        false
    }

    fn issues_id_tokens(&self) -> bool {
        false
    }

    fn method(&self, endpoint: Endpoint) -> Method {
        match endpoint {
            Endpoint::Revocation => Method::DELETE,
            endpoint if endpoint.is_posted() => Method::POST,
            _ => Method::GET,
        }
    }

    fn meant(&self, endpoint: Endpoint, method: &Method) -> Endpoint {
        match endpoint {
            Endpoint::GitHubTokenCheck if method == Method::DELETE => Endpoint::Revocation,
            endpoint => endpoint,
        }
    }

    fn turned_away(&self, endpoint: Endpoint, request: &Request<Bytes>) -> Option<Response<Bytes>> {
        let is_api = ![Endpoint::Authorization, Endpoint::Token].contains(&endpoint);
        let anonymous = is_api && !request.headers().contains_key(USER_AGENT);
        anonymous.then(|| body(StatusCode::FORBIDDEN, "text/html", FORBIDDEN_BY_RULES))
    }

    /// An app has permissions, and no scopes; the list of an OAuth App has commas.
    fn granted(&self, _base: &str, tokens: &GrantedTokens, request: &Request<Bytes>) -> Response<Bytes> {
        let mut members = json!({"access_token": tokens.access_token, "token_type": "bearer", "scope": ""});
        if let Some(lifetime) = tokens.expires_in {
            members["expires_in"] = lifetime.as_secs().into();
        }
        match &tokens.refresh_token {
            Some(refresh_token) => members["refresh_token"] = refresh_token.as_str().into(),
            None => members["scope"] = tokens.scope.replace(' ', ",").into(),
        }
        if let Some(lifetime) = tokens.refresh_expires_in {
            members["refresh_token_expires_in"] = lifetime.as_secs().into();
        }
        as_asked(request, &members)
    }

    fn refused(&self, refusal: Refusal, request: &Request<Bytes>) -> Response<Bytes> {
        let (error, description) = match refusal {
            Refusal::UnknownClient | Refusal::WrongSecret => {
                ("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.")
            }
            Refusal::CodeNotValid | Refusal::VerifierMismatch => {
                ("bad_verification_code", "The code passed is incorrect or expired.")
            }
            refusal if refusal.error() == "invalid_grant" => {
                ("bad_refresh_token", "The refresh token passed is incorrect or expired.")
            }
            refusal => (refusal.error(), refusal.description()),
        };
        as_asked(request, &json!({"error": error, "error_description": description}))
    }

    /// `DELETE /applications/{client_id}/token`: what came of one login.
    fn revocation(&self, state: &mut State, request: &Request<Bytes>) -> Response<Bytes> {
        if client(state, basic(request.headers())).is_none() {
            return json(StatusCode::UNAUTHORIZED, &bad_credentials());
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let Some(token) = body["access_token"].as_str() else { return empty(StatusCode::UNPROCESSABLE_ENTITY) };
        empty(if state.end_grant_of(token) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND })
    }

    fn resource(&self, visit: &Visit<'_>) -> Response<Bytes> {
        match visit.endpoint {
            Endpoint::GitHubEmails => ok(&json!([
                {"email": "other@example.test", "primary": false, "verified": true, "visibility": null},
                {"email": visit.member("email"), "primary": true, "verified": true, "visibility": "private"},
            ])),
            _ => user(visit, Value::Null),
        }
    }

    fn token_missing(&self, _endpoint: Endpoint) -> Response<Bytes> {
        json(StatusCode::UNAUTHORIZED, &json!({"message": "Requires authentication", "status": "401"}))
    }

    fn token_dead(&self, _endpoint: Endpoint) -> Response<Bytes> {
        json(StatusCode::UNAUTHORIZED, &bad_credentials())
    }

    fn forbidden(&self) -> Response<Bytes> {
        let message = "Resource protected by organization SAML enforcement. You must grant your token access.";
        json(StatusCode::FORBIDDEN, &json!({"message": message, "status": "403"}))
    }

    fn rate_limited(&self) -> Response<Bytes> {
        let members = json!({"message": "API rate limit exceeded for user ID 1001.", "status": "403"});
        let mut response = json(StatusCode::FORBIDDEN, &members);
        for (name, value) in [("x-ratelimit-limit", "5000"), ("x-ratelimit-remaining", "0"), ("retry-after", "30")] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// `GET /user`: the number `id` and the name `login`. The e-mail is there only if it is public.
pub(super) fn user(visit: &Visit<'_>, email: Value) -> Response<Bytes> {
    let mut members = profile(visit);
    members["email"] = email;
    let mut response = ok(&members);
    let scopes = HeaderValue::try_from(visit.scopes().join(", ")).unwrap_or(HeaderValue::from_static(""));
    response.headers_mut().insert("x-oauth-scopes", scopes);
    response
}

fn profile(visit: &Visit<'_>) -> Value {
    let login = visit.profile.get("login").cloned().unwrap_or_else(|| visit.member("preferred_username"));
    json!({
        "id": visit.member("id"),
        "login": login,
        "name": visit.member("name"),
        "email": visit.member("email"),
        "type": "User",
    })
}

/// `POST /applications/{client_id}/token`: 404 unless the token was issued to this very client.
pub(crate) fn github_token_check(state: &State, request: &Request<Bytes>) -> Response<Bytes> {
    let Some(client_id) = client(state, basic(request.headers())) else {
        return challenged("Basic", "invalid_client", &json!({"message": "Bad credentials"}));
    };
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let Some(token) = body["access_token"].as_str() else { return empty(StatusCode::UNPROCESSABLE_ENTITY) };
    let in_path = request.uri().path().ends_with(&format!("/applications/{client_id}/token"));
    let issued = state.active(token).filter(|claims| in_path && claims.get("client_id") == Some(&json!(client_id)));
    let of_user = issued.and_then(|claims| Some((claims, state.users.get(claims.get("sub")?.as_str()?)?)));
    let Some((claims, profile_of_user)) = of_user else { return empty(StatusCode::NOT_FOUND) };
    let visit = Visit { endpoint: Endpoint::GitHubTokenCheck, base: state.base(), claims, profile: profile_of_user };
    ok(&json!({
        "id": 1,
        "token": token,
        "app": {"client_id": client_id, "name": "test"},
        "scopes": visit.scopes(),
        "user": profile(&visit),
        "expires_at": null,
    }))
}

fn bad_credentials() -> Value {
    json!({"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest", "status": "401"})
}

/// A form, unless JSON is asked for. The status is 200 whatever it says.
fn as_asked(request: &Request<Bytes>, members: &Value) -> Response<Bytes> {
    let accepts = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepts.contains("application/json") {
        return ok(members);
    }
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in members.as_object().into_iter().flatten() {
        form.append_pair(name, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    body(StatusCode::OK, "application/x-www-form-urlencoded; charset=utf-8", form.finish())
}
