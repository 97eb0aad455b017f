//! [`LoginPolicy`]: who has to look at a page before there is a code.

use super::super::IdentityProvider;

/// Who has to look at a page before there is a code.
///
/// With a new one, everybody and every time, unless the request has a `login_hint`: then that user is logged in.
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
    pub(in super::super) sends_issuer: bool,
}

impl LoginPolicy {
    /// A page, every time.
    pub const fn new() -> Self {
        Self { single_sign_on: false, auto_login: None, denial: None, sends_issuer: true }
    }

    /// A browser that has logged in is remembered by a cookie and sees no page again, unless the request says `prompt=login`,
    /// `prompt=select_account` or `prompt=consent`.
    pub const fn with_single_sign_on(mut self) -> Self {
        self.single_sign_on = true;
        self
    }

    /// Whoever comes is the user `subject`, and sees no page.
    pub fn with_auto_login(mut self, subject: &str) -> Self {
        self.auto_login = Some(subject.to_owned());
        self
    }

    /// Whoever comes is sent back with `error`, such as `access_denied`.
    pub fn with_denial(mut self, error: &str) -> Self {
        self.denial = Some(error.to_owned());
        self
    }

    /// Neither the authorization response nor the metadata says anything of `iss`
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
    /// Goes by `policy` from now on. Who is logged in stays logged in.
    pub fn set_login_policy(&self, policy: LoginPolicy) {
        self.state().login_policy = policy;
    }
}
