//! [`Parameters`]: what a request says, once.

use std::{borrow::Cow, fmt};

use portcullis_core::ScopeSet;
use url::form_urlencoded;

use crate::oauth_error::{ErrorCode, OAuthError};

/// The parameters of a query or a form. `Debug` prints their names only.
///
/// One without a value counts as left out, one that is not known is ignored, and one that is repeated is an error
/// ([RFC 6749 section 3.1](https://www.rfc-editor.org/rfc/rfc6749#section-3.1)). Only `resource` may be repeated
/// ([RFC 8707 section 2](https://www.rfc-editor.org/rfc/rfc8707#section-2)).
pub(crate) struct Parameters(Vec<(String, String)>);

/// The one that may be repeated.
const RESOURCE: &str = "resource";

/// More than any request has, and few enough to be looked through.
const MAX_PARAMETERS: usize = 64;

impl Parameters {
    /// What `text`, `application/x-www-form-urlencoded`, says.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, OAuthError> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if value.is_empty() {
                continue;
            }
            if name != RESOURCE && parameters.iter().any(|(known, _)| *known == *name) {
                return Err(OAuthError::invalid_request("a parameter is repeated"));
            }
            if parameters.len() == MAX_PARAMETERS {
                return Err(OAuthError::invalid_request("too many parameters"));
            }
            parameters.push((name.into_owned(), Cow::into_owned(value)));
        }
        Ok(Self(parameters))
    }

    /// The value of `name`.
    pub(crate) fn optional(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of `name`, which must be there.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, OAuthError> {
        self.optional(name).ok_or_else(|| OAuthError::invalid_request(format!("the parameter {name} is missing")))
    }

    /// The scopes that are named, if any are. [RFC 6749 section 3.3](https://www.rfc-editor.org/rfc/rfc6749#section-3.3)
    ///
    /// # Errors
    /// `invalid_scope` if that cannot be scopes.
    pub(crate) fn scopes(&self) -> Result<Option<ScopeSet>, OAuthError> {
        let invalid = || OAuthError::new(ErrorCode::InvalidScope, "the parameter scope is no list of scopes");
        self.optional("scope").map(|text| parse_untrusted_scopes(text).ok_or_else(invalid)).transpose()
    }

    /// All resources that are named.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(name, _)| name == RESOURCE).map(|(_, value)| value.as_str())
    }
}

/// The scopes in `text`; `None` if that is no list of scopes, or one of thousands.
pub(crate) fn parse_untrusted_scopes(text: &str) -> Option<ScopeSet> {
    /// Each scope is compared with those before it.
    const MAX_SCOPE: usize = 2048;
    Some(text).filter(|text| text.len() <= MAX_SCOPE).and_then(|text| ScopeSet::parse(text).ok())
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
