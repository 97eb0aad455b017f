//! What the two endpoints do, step by step, as `oidc-provider` does it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{
    Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use url::form_urlencoded;

use super::{
    super::{
        grants::{CodeRedemption, GrantedTokens},
        respond::status,
        state::State,
    },
    Refusal, basic, client, render,
};

/// The parameters of a request; none comes twice.
type Parameters = BTreeMap<String, String>;

/// [RFC 6749 sections 4.1.3 and 6](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3).
pub(in super::super) fn token(state: &mut State, request: &Request<Bytes>) -> Response<Bytes> {
    match process(state, request) {
        Ok(granted) => render::granted(&granted),
        Err(refusal) => render::refused(refusal),
    }
}

/// [RFC 7009 section 2](https://www.rfc-editor.org/rfc/rfc7009#section-2): who may ask is told nothing of the token.
pub(in super::super) fn revocation(state: &mut State, request: &Request<Bytes>) -> Response<Bytes> {
    let asked = parameters(request).and_then(|parameters| {
        let client_id = authenticated(state, request, &parameters)?;
        Ok((client_id, required(&parameters, "token")?.to_owned()))
    });
    match asked {
        Ok((client_id, token)) => {
            state.revoke_token(&client_id, &token);
            status(StatusCode::OK)
        }
        Err(refusal) => render::refused(refusal),
    }
}

fn process(state: &mut State, request: &Request<Bytes>) -> Result<GrantedTokens, Refusal> {
    let parameters = parameters(request)?;
    let client_id = authenticated(state, request, &parameters)?;
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

fn parameters(request: &Request<Bytes>) -> Result<Parameters, Refusal> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
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

/// The client, by `client_secret_basic` or `client_secret_post`, and by one of them only.
fn authenticated(state: &State, request: &Request<Bytes>, parameters: &Parameters) -> Result<String, Refusal> {
    let parameter = |name: &str| parameters.get(name).cloned();
    let posted = parameter("client_id").zip(parameter("client_secret"));
    if request.headers().contains_key(AUTHORIZATION) && posted.is_some() {
        return Err(Refusal::InvalidRequest("client authentication must only be provided using one mechanism"));
    }
    client(state, basic(request.headers()).or(posted)).ok_or(Refusal::InvalidClient)
}

fn required<'a>(parameters: &'a Parameters, name: &str) -> Result<&'a str, Refusal> {
    parameters.get(name).map(String::as_str).ok_or(Refusal::InvalidRequest("missing required parameter"))
}
