//! What the two endpoints do, step by step, as `oidc-provider` does it.

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use super::{
    super::{
        IdentityProvider,
        answer::empty,
        grants::{CodeRedemption, GrantedTokens},
        state::State,
    },
    Refusal, authenticated,
    parameters::{form, required},
};

/// [RFC 6749 sections 4.1.3 and 6](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3).
pub(in super::super) fn token(provider: &IdentityProvider, request: &Request<Bytes>) -> Response<Bytes> {
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

/// [RFC 7009 section 2](https://www.rfc-editor.org/rfc/rfc7009#section-2): who may ask is told nothing of the token.
pub(in super::super) fn revocation(state: &mut State, request: &Request<Bytes>) -> Response<Bytes> {
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
