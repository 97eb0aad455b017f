//! [`Parameters`]: the parameters of a query or a form.

use std::{borrow::Cow, fmt};

use portcullis_core::ScopeSet;
use url::form_urlencoded;

use crate::oauth_error::{ErrorCode, OAuthError};

/// The parameters of a query or a form. `Debug` prints their names only.
///
/// A parameter without a value counts as missing, an unknown one is ignored, and a repeated one is an error
/// ([RFC 6749 section 3.1](https://www.rfc-editor.org/rfc/rfc6749#section-3.1)). Only `resource` may be repeated
/// ([RFC 8707 section 2](https://www.rfc-editor.org/rfc/rfc8707#section-2)).
pub(crate) struct Parameters(Vec<(String, String)>);

/// The parameter that may be repeated.
const RESOURCE: &str = "resource";

/// The maximum number of parameters. Lookups are linear.
const MAX_PARAMETERS: usize = 64;

impl Parameters {
    /// Parses `text`, which is `application/x-www-form-urlencoded`.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, OAuthError> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if value.is_empty() {
                continue;
            }
            if name != RESOURCE && parameters.iter().any(|(known, _)| *known == *name) {
                return Err(OAuthError::invalid_request("repeated parameter"));
            }
            if parameters.len() == MAX_PARAMETERS {
                return Err(OAuthError::invalid_request("too many parameters"));
            }
            parameters.push((name.into_owned(), Cow::into_owned(value)));
        }
        Ok(Self(parameters))
    }

    /// Returns the value of `name`.
    pub(crate) fn optional(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the value of `name`, or `invalid_request` if it is missing.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, OAuthError> {
        self.optional(name).ok_or_else(|| OAuthError::invalid_request(format!("missing parameter: {name}")))
    }

    /// Returns the parameter `scope`. [RFC 6749 section 3.3](https://www.rfc-editor.org/rfc/rfc6749#section-3.3)
    ///
    /// # Errors
    /// `invalid_scope` if it is malformed or too long.
    pub(crate) fn scopes(&self) -> Result<Option<ScopeSet>, OAuthError> {
        let invalid = || OAuthError::new(ErrorCode::InvalidScope, "malformed scope");
        self.optional("scope").map(|text| parse_untrusted_scopes(text).ok_or_else(invalid)).transpose()
    }

    /// Returns all parameters `resource`.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(name, _)| name == RESOURCE).map(|(_, value)| value.as_str())
    }
}

/// Parses scopes of a request; `None` if `text` is malformed or too long.
pub(crate) fn parse_untrusted_scopes(text: &str) -> Option<ScopeSet> {
    /// Parsing takes quadratic time.
    const MAX_SCOPE: usize = 2048;
    Some(text).filter(|text| text.len() <= MAX_SCOPE).and_then(|text| ScopeSet::parse(text).ok())
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
