//! [`AuthorizationResponse`]: what a browser takes back to the client.

use std::fmt;

use url::form_urlencoded;

/// What a browser takes back to the client, [RFC 6749 section 4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2): for
/// [`IdentityProvider::forge_callbacks`](crate::IdentityProvider::forge_callbacks). `Debug` prints the names only.
#[derive(Clone)]
#[must_use]
pub struct AuthorizationResponse {
    redirect_uri: String,
    parameters: Vec<(String, String)>,
}

impl AuthorizationResponse {
    pub(super) fn new(redirect_uri: String) -> Self {
        Self { redirect_uri, parameters: Vec::new() }
    }

    /// Sets this parameter, in place of those of its name.
    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).with_another(name, value)
    }

    /// Adds this parameter, also if there is one of its name.
    pub fn with_another(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes the parameters of this name.
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.retain(|(known, _)| known != name);
        self
    }

    /// Returns the URL to which the browser is redirected.
    pub(super) fn location(&self) -> String {
        let separator = if self.redirect_uri.contains('?') { '&' } else { '?' };
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.parameters).finish();
        format!("{}{separator}{query}", self.redirect_uri)
    }
}

impl fmt::Debug for AuthorizationResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationResponse")
            .field("redirect_uri", &self.redirect_uri)
            .field("parameters", &self.parameters.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish()
    }
}
