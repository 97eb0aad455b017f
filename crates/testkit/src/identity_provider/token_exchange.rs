//! The grants without a login: client credentials, and token exchange for an access token or an identity assertion.

use bytes::Bytes;
use http::Request;
use serde_json::{Map, Value, json};

use super::{
    IdentityProvider,
    grants::Refusal,
    token_endpoint::{Parameters, authenticated, form, required},
};

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// Returns the response to a request of one of these grants; `None` if it is of another.
pub(super) fn process(provider: &IdentityProvider, request: &Request<Bytes>) -> Option<Result<Value, Refusal>> {
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
