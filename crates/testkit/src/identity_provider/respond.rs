//! The responses of the endpoints without a fault, and the metadata.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL},
};
use serde_json::{Value, json};

use super::{
    Endpoint, IdentityProvider, clients, login,
    messages::{challenged, empty, ok},
    state::State,
    token_endpoint::{self, Parameters},
    vendor::{Visit, github_token_check},
};

/// Returns the response of `endpoint`.
pub(super) fn respond(provider: &IdentityProvider, endpoint: Endpoint, request: &Request<Bytes>) -> Response<Bytes> {
    let dialect = provider.state().dialect;
    let is_expected = match endpoint {
        Endpoint::Authorization => [Method::GET, Method::POST].contains(request.method()),
        endpoint => request.method() == dialect.method(endpoint),
    };
    if !is_expected {
        return empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    if let Some(response) = dialect.turned_away(endpoint, request) {
        return response;
    }
    match endpoint {
        // A test can change the outcome of these two, so the state must not be locked.
        Endpoint::Authorization => login::authorize(provider, request),
        Endpoint::Token => token_endpoint::token(provider, request),
        endpoint => respond_from(&mut provider.state(), endpoint, request),
    }
}

fn respond_from(state: &mut State, endpoint: Endpoint, request: &Request<Bytes>) -> Response<Bytes> {
    let dialect = state.dialect;
    match endpoint {
        Endpoint::AuthorizationServerMetadata => ok(&authorization_server(state)),
        Endpoint::OpenIdConfiguration => ok(&openid_configuration(state)),
        Endpoint::KeySet => key_set(state),
        Endpoint::Registration => clients::register(state, request),
        Endpoint::Revocation => dialect.revocation(state, request),
        Endpoint::Introspection => introspection(state, request),
        Endpoint::GitHubTokenCheck => github_token_check(state, request),
        endpoint => resource(state, endpoint, request.headers()),
    }
}

fn key_set(state: &State) -> Response<Bytes> {
    let mut response = ok(&published_keys(state));
    if let Some(max_age) = state.key_set_max_age {
        let value = HeaderValue::try_from(format!("public, max-age={}", max_age.as_secs()));
        response.headers_mut().insert(CACHE_CONTROL, value.expect("a number is visible ASCII"));
    }
    response
}

/// [RFC 7662 section 2](https://www.rfc-editor.org/rfc/rfc7662#section-2).
fn introspection(state: &State, request: &Request<Bytes>) -> Response<Bytes> {
    let form: Parameters = url::form_urlencoded::parse(request.body()).into_owned().collect();
    if token_endpoint::authenticated(state, request.headers(), &form).is_err() {
        return challenged("Basic", "invalid_client", &json!({"error": "invalid_client"}));
    }
    let Some(claims) = form.get("token").and_then(|token| state.active(token)) else {
        return ok(&json!({"active": false}));
    };
    let mut members = claims.clone();
    members.insert("active".to_owned(), true.into());
    members.insert("token_type".to_owned(), "Bearer".into());
    ok(&Value::Object(members))
}

/// Responds for an endpoint that describes the user of a token.
fn resource(state: &mut State, endpoint: Endpoint, headers: &HeaderMap) -> Response<Bytes> {
    let dialect = state.dialect;
    let Some(token) = bearer(headers) else { return dialect.token_missing(endpoint) };
    if state.active(token).is_none() {
        state.ledger.dead_calls += 1;
    }
    let claims = state.active(token);
    let of_user = claims.and_then(|claims| Some((claims, state.users.get(claims.get("sub")?.as_str()?)?)));
    let Some((claims, profile)) = of_user else { return dialect.token_dead(endpoint) };
    dialect.resource(&Visit { endpoint, base: state.base(), claims, profile })
}

/// Returns the token in the header, [RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750#section-2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then_some(token)
}

/// Returns the metadata of the authorization server, [RFC 8414 section 2](https://www.rfc-editor.org/rfc/rfc8414#section-2).
fn authorization_server(state: &State) -> Value {
    let mut metadata = json!({
        "issuer": state.issuer,
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": state.sends_issuer(),
    });
    for (member, endpoint) in [
        ("jwks_uri", Endpoint::KeySet),
        ("authorization_endpoint", Endpoint::Authorization),
        ("token_endpoint", Endpoint::Token),
        ("registration_endpoint", Endpoint::Registration),
        ("revocation_endpoint", Endpoint::Revocation),
        ("introspection_endpoint", Endpoint::Introspection),
        ("userinfo_endpoint", Endpoint::UserInfo),
    ] {
        if let Some(url) = state.url_of(endpoint) {
            metadata[member] = url.into();
        }
    }
    clients::with_overrides(metadata, &state.metadata)
}

/// Returns the metadata with the members that OpenID Connect Discovery requires in addition.
fn openid_configuration(state: &State) -> Value {
    let mut algorithms: Vec<_> = state.keys.iter().map(|key| key.algorithm.as_str()).collect();
    algorithms.dedup();
    let mut metadata = authorization_server(state);
    metadata["subject_types_supported"] = json!(["public"]);
    metadata["id_token_signing_alg_values_supported"] = json!(algorithms);
    metadata
}

/// Returns the published keys, [RFC 7517 section 5](https://www.rfc-editor.org/rfc/rfc7517#section-5).
fn published_keys(state: &State) -> Value {
    let own = state.keys.iter().filter(|key| key.published).map(|key| key.jwk());
    // Foreign keys come first, so that a reader that stops at one finds no key of this provider.
    json!({ "keys": state.foreign_keys.iter().cloned().chain(own).collect::<Vec<_>>() })
}
