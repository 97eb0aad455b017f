//! The token endpoint and the revocation endpoint, step by step, as `oidc-provider` implements them.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::{
    IdentityProvider, clients,
    grants::{CodeRedemption, GrantedTokens, Refusal},
    messages::{empty, ok},
    state::State,
};

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// [RFC 6749 sections 4.1.3 and 6](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3).
pub(crate) fn token(provider: &IdentityProvider, request: &Request<Bytes>) -> Response<Bytes> {
    if let Some(outcome) = process_without_login(provider, request) {
        return outcome
            .map_or_else(|refusal| provider.state().dialect.refused(refusal, request), |members| ok(&members));
    }
    let outcome = process(&mut provider.state(), request);
    let outcome = outcome.map(|mut granted| {
        granted.id_token = granted.id_token_claims.take().map(|claims| provider.issue_id_token(claims));
        granted
    });
    let state = provider.state();
    match outcome {
        Ok(granted) => state.dialect.granted(state.base(), &granted, request),
        Err(refusal) => state.dialect.refused(refusal, request),
    }
}

/// [RFC 7009 section 2](https://www.rfc-editor.org/rfc/rfc7009#section-2): the response reveals nothing about the token.
pub(crate) fn revocation(state: &mut State, request: &Request<Bytes>) -> Response<Bytes> {
    let asked = form(request).and_then(|parameters| {
        let client_id = authenticated(state, request.headers(), &parameters)?;
        Ok((client_id, required(&parameters, "token")?.to_owned()))
    });
    match asked {
        Ok((client_id, token)) => {
            state.revoke_token(&client_id, &token);
            empty(StatusCode::OK)
        }
        Err(refusal) => state.dialect.refused(refusal, request),
    }
}

fn process(state: &mut State, request: &Request<Bytes>) -> Result<GrantedTokens, Refusal> {
    let parameters = state.dialect.parameters(request)?;
    let client_id = authenticated(state, request.headers(), &parameters)?;
    let optional = |name: &str| parameters.get(name).map(String::as_str);
    match required(&parameters, "grant_type")? {
        "authorization_code" => {
            let redemption = CodeRedemption {
                code: required(&parameters, "code")?,
                redirect_uri: optional("redirect_uri"),
                code_verifier: optional("code_verifier"),
            };
            state.redeem_code(&client_id, &redemption)
        }
        "refresh_token" => state.refresh(&client_id, required(&parameters, "refresh_token")?, optional("scope")),
        _ => Err(Refusal::UnsupportedGrantType),
    }
}

/// Id and secret of a client.
type Credentials = (String, String);

/// Authenticates the client, by `client_secret_basic` or `client_secret_post`, and by one of them only.
pub(crate) fn authenticated(state: &State, headers: &HeaderMap, parameters: &Parameters) -> Result<String, Refusal> {
    let parameter = |name: &str| parameters.get(name).cloned();
    let posted = parameter("client_id").zip(parameter("client_secret"));
    if headers.contains_key(AUTHORIZATION) && posted.is_some() {
        return Err(Refusal::InvalidRequest("client authentication must only be provided using one mechanism"));
    }
    if !headers.contains_key(AUTHORIZATION) && !parameters.contains_key("client_id") {
        return Err(Refusal::InvalidRequest("no client authentication mechanism provided"));
    }
    if let Some(public) = clients::public(state, headers, parameters) {
        return Ok(public);
    }
    let credentials = basic(headers).or(posted);
    let known = credentials.as_ref().is_some_and(|(id, _)| state.clients.contains_key(id));
    client(state, credentials).ok_or(if known { Refusal::WrongSecret } else { Refusal::UnknownClient })
}

/// Returns id and secret of the scheme `Basic`, [RFC 6749 section 2.3.1](https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1).
pub(crate) fn basic(headers: &HeaderMap) -> Option<Credentials> {
    let (scheme, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let pair = scheme.eq_ignore_ascii_case("Basic").then(|| BASE64_STANDARD.decode(credentials).ok())??;
    let pair = String::from_utf8(pair).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decode = |text: &str| form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned());
    Some((decode(id)?, decode(secret)?))
}

/// Returns the client id if the credentials are valid.
pub(crate) fn client(state: &State, credentials: Option<Credentials>) -> Option<String> {
    let (id, secret) = credentials?;
    (state.clients.get(&id) == Some(&secret)).then_some(id)
}

/// The parameters of a request, each at most once.
pub(crate) type Parameters = BTreeMap<String, String>;

/// Parses a body of `application/x-www-form-urlencoded`.
pub(crate) fn form(request: &Request<Bytes>) -> Result<Parameters, Refusal> {
    if !has_type(request, "application/x-www-form-urlencoded") {
        return Err(Refusal::InvalidRequest(
            "only application/x-www-form-urlencoded content-type bodies are supported",
        ));
    }
    let mut parameters = Parameters::new();
    for (name, value) in form_urlencoded::parse(request.body()).into_owned() {
        if parameters.insert(name, value).is_some() {
            return Err(Refusal::InvalidRequest("parameters must not be provided twice"));
        }
    }
    Ok(parameters)
}

/// Parses a body of `application/json`.
pub(crate) fn json_object(request: &Request<Bytes>) -> Result<Parameters, Refusal> {
    const NOT_JSON: Refusal = Refusal::InvalidRequest("the body must be a JSON object of strings");
    if !has_type(request, "application/json") {
        return Err(NOT_JSON);
    }
    serde_json::from_slice(request.body()).map_err(|_| NOT_JSON)
}

pub(crate) fn required<'a>(parameters: &'a Parameters, name: &str) -> Result<&'a str, Refusal> {
    parameters.get(name).map(String::as_str).ok_or(Refusal::InvalidRequest("missing required parameter"))
}

fn has_type(request: &Request<Bytes>, expected: &str) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(expected)
}

/// Returns the response to a request of one of these grants; `None` if it is of another.
fn process_without_login(provider: &IdentityProvider, request: &Request<Bytes>) -> Option<Result<Value, Refusal>> {
    let parameters = form(request).ok()?;
    let grant = match parameters.get("grant_type")?.as_str() {
        "client_credentials" => client_credentials,
        TOKEN_EXCHANGE => exchange,
        _ => return None,
    };
    let client_id = authenticated(&provider.state(), request.headers(), &parameters);
    Some(client_id.and_then(|client_id| grant(provider, &client_id, &parameters)))
}

/// [RFC 6749 section 4.4](https://www.rfc-editor.org/rfc/rfc6749#section-4.4)
fn client_credentials(provider: &IdentityProvider, client_id: &str, parameters: &Parameters) -> Result<Value, Refusal> {
    Ok(access_token(provider, client_id, client_id, parameters, None))
}

/// [RFC 8693 section 2](https://www.rfc-editor.org/rfc/rfc8693#section-2). The subject token is one that this provider has issued and not
/// revoked; an ID token was issued to the client.
fn exchange(provider: &IdentityProvider, client_id: &str, parameters: &Parameters) -> Result<Value, Refusal> {
    let subject = issued(provider, required(parameters, "subject_token")?)?;
    let of_client = subject.get("aud").and_then(Value::as_str) == Some(client_id);
    if required(parameters, "subject_token_type")? == ID_TOKEN && !of_client {
        return Err(Refusal::AnotherClient);
    }
    let actor = parameters.get("actor_token").map(|token| issued(provider, token)).transpose()?;
    let name = |claims: &Map<String, Value>| claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
    let (subject, actor) = (name(&subject), actor.as_ref().map(name));
    if parameters.get("requested_token_type").map(String::as_str) != Some(ID_JAG) {
        return Ok(access_token(provider, &subject, client_id, parameters, actor));
    }
    let mut assertion = provider.id_jag(&subject, required(parameters, "audience")?, client_id);
    for name in ["resource", "scope"] {
        if let Some(value) = parameters.get(name) {
            assertion = assertion.with_claim(name, value.as_str());
        }
    }
    Ok(json!({"access_token": assertion.jwt(), "issued_token_type": ID_JAG, "token_type": "N_A", "expires_in": 300}))
}

/// Returns the claims of a token that this provider has issued.
fn issued(provider: &IdentityProvider, token: &str) -> Result<Map<String, Value>, Refusal> {
    provider.state().tokens.get(token).cloned().ok_or(Refusal::GrantEnded)
}

fn access_token(
    provider: &IdentityProvider,
    subject: &str,
    client_id: &str,
    parameters: &Parameters,
    actor: Option<String>,
) -> Value {
    let mut token = provider.token(subject).with_claim("client_id", client_id);
    if let Some(resource) = parameters.get("resource") {
        token = token.with_audience(resource);
    }
    if let Some(scope) = parameters.get("scope") {
        token = token.with_scope(scope);
    }
    if let Some(actor) = actor {
        token = token.with_claim("act", json!({"sub": actor}));
    }
    json!({"access_token": token.jwt(), "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 600})
}
