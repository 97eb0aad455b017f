//! [`LoginPolicy`] and [`AuthorizationResponse`]: when a login page is shown, and the response that goes to the client.

use std::fmt;

use url::form_urlencoded;

use super::IdentityProvider;

/// The policy that decides when a user sees the login page.
///
/// By default each login shows the page, unless the request has a `login_hint`: then that user is logged in.
///
/// ```
/// use portcullis_testkit::{IdentityProvider, LoginPolicy};
///
/// let provider = IdentityProvider::new();
/// provider.set_login_policy(LoginPolicy::new().with_single_sign_on());
/// provider.set_login_policy(LoginPolicy::new().with_auto_login("alice"));
/// provider.set_login_policy(LoginPolicy::new().with_denial("access_denied"));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct LoginPolicy {
    pub(super) single_sign_on: bool,
    pub(super) auto_login: Option<String>,
    pub(super) denial: Option<String>,
    pub(super) sends_issuer: bool,
}

impl LoginPolicy {
    /// Creates the policy that shows the page at each login.
    pub const fn new() -> Self {
        Self { single_sign_on: false, auto_login: None, denial: None, sends_issuer: true }
    }

    /// Recognizes a browser that has logged in by a cookie and shows no page again, unless the request says `prompt=login`,
    /// `prompt=select_account` or `prompt=consent`.
    pub const fn with_single_sign_on(mut self) -> Self {
        self.single_sign_on = true;
        self
    }

    /// Logs each browser in as `subject`, without a page.
    pub fn with_auto_login(mut self, subject: &str) -> Self {
        self.auto_login = Some(subject.to_owned());
        self
    }

    /// Redirects each browser back to the client with `error`, such as `access_denied`.
    pub fn with_denial(mut self, error: &str) -> Self {
        self.denial = Some(error.to_owned());
        self
    }

    /// Omits `iss` from the authorization response and from the metadata
    /// ([RFC 9207](https://www.rfc-editor.org/rfc/rfc9207)).
    pub const fn without_issuer_parameter(mut self) -> Self {
        self.sends_issuer = false;
        self
    }
}

impl Default for LoginPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl IdentityProvider {
    /// Sets the policy. Users who are logged in remain logged in.
    pub fn set_login_policy(&self, policy: LoginPolicy) {
        self.state().login_policy = policy;
    }
}

/// An authorization response, [RFC 6749 section 4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2): for
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
