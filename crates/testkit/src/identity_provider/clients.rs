//! Clients that register themselves or have no secret, and what the metadata states about them.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header::AUTHORIZATION};
use serde_json::{Map, Value, json};

use super::{
    IdentityProvider,
    grants::random,
    messages::{empty, json as response},
    state::State,
};

impl IdentityProvider {
    /// Lets clients register ([RFC 7591](https://www.rfc-editor.org/rfc/rfc7591)): those that ask for the client authentication method
    /// `none` have no secret. Their redirect URIs are compared as strings.
    pub fn open_registration(&self) {
        self.state().is_registration_open = true;
    }

    /// Registers a client without a secret, such as one whose id is the URL of a document. Every redirect URI is accepted.
    pub fn set_public_client(&self, client_id: &str) {
        self.state().public_clients.insert(client_id.to_owned());
    }

    /// Removes a client: it is not known any more. Its grants remain.
    pub fn remove_client(&self, client_id: &str) {
        let mut state = self.state();
        state.public_clients.remove(client_id);
        state.clients.remove(client_id);
    }

    /// Sets a member of both kinds of metadata, whatever the provider does; `null` removes it.
    ///
    /// ```
    /// use portcullis_testkit::IdentityProvider;
    ///
    /// let provider = IdentityProvider::new();
    /// provider.set_metadata("client_id_metadata_document_supported", true.into());
    /// provider.set_metadata("code_challenge_methods_supported", serde_json::Value::Null);
    /// ```
    pub fn set_metadata(&self, name: &str, value: Value) {
        self.state().metadata.insert(name.to_owned(), value);
    }
}

/// [RFC 7591 section 3](https://www.rfc-editor.org/rfc/rfc7591#section-3).
pub(super) fn register(state: &mut State, request: &Request<Bytes>) -> Response<Bytes> {
    if !state.is_registration_open {
        return empty(StatusCode::NOT_FOUND);
    }
    let Ok(Value::Object(mut client)) = serde_json::from_slice(request.body()) else {
        return response(StatusCode::BAD_REQUEST, &json!({"error": "invalid_client_metadata"}));
    };
    let uris = client.get("redirect_uris").and_then(Value::as_array).into_iter().flatten();
    let uris: Vec<String> = uris.filter_map(|uri| uri.as_str().map(str::to_owned)).collect();
    if uris.is_empty() {
        return response(StatusCode::BAD_REQUEST, &json!({"error": "invalid_redirect_uri"}));
    }
    let client_id = format!("registered-{}", state.next_serial());
    state.redirect_uris.insert(client_id.clone(), uris);
    if client.get("token_endpoint_auth_method") == Some(&json!("none")) {
        state.public_clients.insert(client_id.clone());
    } else {
        let secret = random("");
        client.insert("client_secret".to_owned(), secret.clone().into());
        client.insert("client_secret_expires_at".to_owned(), 0.into());
        state.clients.insert(client_id.clone(), secret);
    }
    client.insert("client_id".to_owned(), client_id.into());
    response(StatusCode::CREATED, &Value::Object(client))
}

/// Returns the id of a client without a secret that sends none.
pub(super) fn public(state: &State, headers: &HeaderMap, parameters: &BTreeMap<String, String>) -> Option<String> {
    let sends_secret = headers.contains_key(AUTHORIZATION) || parameters.contains_key("client_secret");
    let client_id = parameters.get("client_id").filter(|id| !sends_secret && state.public_clients.contains(*id));
    client_id.cloned()
}

/// Replaces members of `metadata`.
pub(super) fn with_overrides(mut metadata: Value, overrides: &Map<String, Value>) -> Value {
    if let Value::Object(members) = &mut metadata {
        members.extend(overrides.clone());
        members.retain(|_, value| !value.is_null());
    }
    metadata
}
