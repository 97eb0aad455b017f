//! What a client asks a user for, in the browser.

use http::Uri;
use url::{Url, form_urlencoded};

use super::super::{state::State, token_endpoint::Parameters};

/// An authorization request, [RFC 6749 section 4.1.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1), with a client and a
/// redirect URI: who can be told what is wrong with the rest.
pub(super) struct AuthorizationRequest {
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) parameters: Parameters,
}

impl AuthorizationRequest {
    /// From the query, or what to say on a page.
    pub(super) fn parse(state: &State, uri: &Uri) -> Result<Self, &'static str> {
        let mut parameters = Parameters::new();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned() {
            if parameters.insert(name, value).is_some() {
                return Err("A parameter comes twice.");
            }
        }
        let client_id = parameters.get("client_id").cloned().ok_or("The client_id is missing.")?;
        let redirect_uri = parameters.get("redirect_uri").cloned().ok_or("The redirect_uri is missing.")?;
        if Url::parse(&redirect_uri).is_err() {
            return Err("The redirect_uri is no URI.");
        }
        match state.redirect_uris.get(&client_id) {
            Some(registered) if !registered.contains(&redirect_uri) => Err("The redirect_uri is not registered."),
            _ => Ok(Self { client_id, redirect_uri, parameters }),
        }
    }

    /// Whether it can be answered; if not, with which error.
    pub(super) fn check(&self, state: &State) -> Result<(), &'static str> {
        if self.parameter("response_type") != Some("code") {
            return Err("unsupported_response_type");
        }
        let has_challenge = self.parameter("code_challenge").is_some();
        if has_challenge && self.parameter("code_challenge_method") != Some("S256") {
            return Err("invalid_request");
        }
        let required = state.dialect.required_parameters();
        if required.iter().any(|name| self.parameter(name).is_none()) {
            return Err("invalid_request");
        }
        Ok(())
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Whether `prompt` has one of `values`.
    pub(super) fn prompts(&self, values: &[&str]) -> bool {
        self.parameter("prompt").is_some_and(|prompt| prompt.split(' ').any(|one| values.contains(&one)))
    }
}
