//! [`AuthorizationResponse`]: what a browser takes back to the client.

use std::fmt;

use crate::fields::Fields;

/// What a browser takes back to the client, [RFC 6749 section 4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2): for
/// [`IdentityProvider::forge_callbacks`](crate::IdentityProvider::forge_callbacks). `Debug` prints the names only.
#[derive(Clone)]
#[must_use]
pub struct AuthorizationResponse {
    redirect_uri: String,
    parameters: Fields,
}

impl AuthorizationResponse {
    pub(super) fn new(redirect_uri: String) -> Self {
        Self { redirect_uri, parameters: Fields::default() }
    }

    /// With this parameter, added or replaced.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.parameters.set(name, value);
        self
    }

    /// With this parameter once more.
    pub fn with_another(mut self, name: &str, value: &str) -> Self {
        self.parameters.add(name, value);
        self
    }

    /// Without this parameter.
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.remove(name);
        self
    }

    /// Where the browser is sent.
    pub(super) fn location(&self) -> String {
        self.parameters.appended_to(&self.redirect_uri)
    }
}

impl fmt::Debug for AuthorizationResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationResponse")
            .field("redirect_uri", &self.redirect_uri)
            .field("parameters", &self.parameters)
            .finish()
    }
}
