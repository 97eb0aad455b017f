//! What an identity provider says about itself.

use serde_json::{Value, json};

use super::{Endpoint, state::State};

/// Metadata of the authorization server, [RFC 8414 section 2](https://www.rfc-editor.org/rfc/rfc8414#section-2).
pub(super) fn authorization_server(state: &State) -> Value {
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
        ("revocation_endpoint", Endpoint::Revocation),
        ("introspection_endpoint", Endpoint::Introspection),
        ("userinfo_endpoint", Endpoint::UserInfo),
    ] {
        if let Some(url) = state.url_of(endpoint) {
            metadata[member] = url.into();
        }
    }
    metadata
}

/// The same with what OpenID Connect Discovery requires besides.
pub(super) fn openid_configuration(state: &State) -> Value {
    let mut algorithms: Vec<_> = state.keys.iter().map(|key| key.algorithm.as_str()).collect();
    algorithms.dedup();
    let mut metadata = authorization_server(state);
    metadata["subject_types_supported"] = json!(["public"]);
    metadata["id_token_signing_alg_values_supported"] = json!(algorithms);
    metadata
}

/// The published keys, [RFC 7517 section 5](https://www.rfc-editor.org/rfc/rfc7517#section-5).
pub(super) fn key_set(state: &State) -> Value {
    let own = state.keys.iter().filter(|key| key.published).map(|key| key.jwk());
    // Foreign keys come first, so that a reader who gives up at one finds none of ours.
    json!({ "keys": state.foreign_keys.iter().cloned().chain(own).collect::<Vec<_>>() })
}
