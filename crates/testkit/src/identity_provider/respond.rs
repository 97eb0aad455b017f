//! What the endpoints answer when they behave.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::{
    Endpoint, metadata,
    state::State,
    token_endpoint::{self, basic, client},
};

/// What `endpoint` answers.
pub(super) fn respond(state: &mut State, endpoint: Endpoint, request: &Request<Bytes>) -> Response<Bytes> {
    let expected = if endpoint.is_posted() { Method::POST } else { Method::GET };
    if request.method() != expected {
        return status(StatusCode::METHOD_NOT_ALLOWED);
    }
    match endpoint {
        Endpoint::AuthorizationServerMetadata => ok(&metadata::authorization_server(state)),
        Endpoint::OpenIdConfiguration => ok(&metadata::openid_configuration(state)),
        Endpoint::KeySet => key_set(state),
        Endpoint::Token => token_endpoint::token(state, request),
        Endpoint::Revocation => token_endpoint::revocation(state, request),
        Endpoint::Introspection => introspection(state, request),
        Endpoint::UserInfo => user_info(state, request),
        Endpoint::GitHubUser => github_user(state, request),
        Endpoint::GitHubTokenCheck => github_token_check(state, request),
    }
}

fn key_set(state: &State) -> Response<Bytes> {
    let mut response = ok(&metadata::key_set(state));
    if let Some(max_age) = state.key_set_max_age {
        let value = HeaderValue::try_from(format!("public, max-age={}", max_age.as_secs()));
        response.headers_mut().insert(CACHE_CONTROL, value.expect("a number is visible ASCII"));
    }
    response
}

/// [RFC 7662 section 2](https://www.rfc-editor.org/rfc/rfc7662#section-2).
fn introspection(state: &State, request: &Request<Bytes>) -> Response<Bytes> {
    let form: Vec<(String, String)> = form_urlencoded::parse(request.body()).into_owned().collect();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let credentials = basic(request.headers()).or_else(|| Some((field("client_id")?, field("client_secret")?)));
    if client(state, credentials).is_none() {
        return refused("Basic", "invalid_client", &json!({"error": "invalid_client"}));
    }
    let Some(claims) = field("token").and_then(|token| state.active(&token)) else {
        return ok(&json!({"active": false}));
    };
    let mut members = claims.clone();
    members.insert("active".to_owned(), true.into());
    members.insert("token_type".to_owned(), "Bearer".into());
    ok(&Value::Object(members))
}

fn user_info(state: &mut State, request: &Request<Bytes>) -> Response<Bytes> {
    count_dead_call(state, request.headers());
    match bearer(state, request.headers()).and_then(|claims| profile(state, claims)) {
        Some(profile) => {
            let mut members = profile.clone();
            members.remove("id");
            ok(&Value::Object(members))
        }
        None => refused("Bearer", "invalid_token", &json!({"error": "invalid_token"})),
    }
}

/// `GET /user`: the number `id` and the name `login`.
fn github_user(state: &mut State, request: &Request<Bytes>) -> Response<Bytes> {
    count_dead_call(state, request.headers());
    let Some((claims, profile)) =
        bearer(state, request.headers()).and_then(|claims| Some((claims, profile(state, claims)?)))
    else {
        return refused("Bearer", "invalid_token", &json!({"message": "Bad credentials"}));
    };
    let mut response = ok(&github_profile(profile));
    let scopes = HeaderValue::try_from(scopes(claims).join(", ")).unwrap_or(HeaderValue::from_static(""));
    response.headers_mut().insert("x-oauth-scopes", scopes);
    response
}

/// `POST /applications/{client_id}/token`: 404 unless the token was issued to this very client.
fn github_token_check(state: &State, request: &Request<Bytes>) -> Response<Bytes> {
    let Some(client_id) = client(state, basic(request.headers())) else {
        return refused("Basic", "invalid_client", &json!({"message": "Bad credentials"}));
    };
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let Some(token) = body["access_token"].as_str() else { return status(StatusCode::UNPROCESSABLE_ENTITY) };
    let in_path = request.uri().path().ends_with(&format!("/applications/{client_id}/token"));
    let issued = state.active(token).filter(|claims| in_path && claims.get("client_id") == Some(&json!(client_id)));
    let Some((claims, profile)) = issued.and_then(|claims| Some((claims, profile(state, claims)?))) else {
        return status(StatusCode::NOT_FOUND);
    };
    ok(&json!({
        "id": 1,
        "token": token,
        "app": {"client_id": client_id, "name": "test"},
        "scopes": scopes(claims),
        "user": github_profile(profile),
        "expires_at": null,
    }))
}

fn github_profile(profile: &Map<String, Value>) -> Value {
    let member = |name: &str| profile.get(name).cloned().unwrap_or_default();
    let login = profile.get("login").cloned().unwrap_or_else(|| member("preferred_username"));
    json!({"id": member("id"), "login": login, "name": member("name"), "email": member("email"), "type": "User"})
}

fn profile<'a>(state: &'a State, claims: &Map<String, Value>) -> Option<&'a Map<String, Value>> {
    state.users.get(claims.get("sub")?.as_str()?)
}

fn scopes(claims: &Map<String, Value>) -> Vec<&str> {
    claims.get("scope").and_then(Value::as_str).unwrap_or_default().split_whitespace().collect()
}

fn count_dead_call(state: &mut State, headers: &HeaderMap) {
    state.ledger.dead_calls += usize::from(headers.contains_key(AUTHORIZATION) && bearer(state, headers).is_none());
}

/// The claims of the good token in the request.
fn bearer<'a>(state: &'a State, headers: &HeaderMap) -> Option<&'a Map<String, Value>> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    state.active(token).filter(|_| scheme.eq_ignore_ascii_case("Bearer"))
}

fn refused(scheme: &str, error: &str, body: &Value) -> Response<Bytes> {
    let mut response = ok(body);
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let challenge = HeaderValue::try_from(format!("{scheme} realm=\"idp\", error=\"{error}\""));
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge.expect("visible ASCII"));
    response
}

pub(super) fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

pub(super) fn ok(body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
