//! [`InvalidMetadata`]: what is wrong with what a client says of itself.

use std::fmt;

use crate::oauth_error::{ErrorCode, OAuthError};

/// What is wrong with what a client says of itself: in our words, so that it may be told and logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::clients) struct InvalidMetadata {
    pub(in crate::clients) member: &'static str,
    pub(in crate::clients) why: &'static str,
}

impl InvalidMetadata {
    pub(in crate::clients) const fn new(member: &'static str, why: &'static str) -> Self {
        Self { member, why }
    }
}

impl fmt::Display for InvalidMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.member, self.why)
    }
}

/// What a registration is answered with. [RFC 7591 section 3.2.2](https://www.rfc-editor.org/rfc/rfc7591#section-3.2.2)
impl From<InvalidMetadata> for OAuthError {
    fn from(invalid: InvalidMetadata) -> Self {
        let code = match invalid.member {
            "redirect_uris" => ErrorCode::InvalidRedirectUri,
            _ => ErrorCode::InvalidClientMetadata,
        };
        Self::new(code, invalid.to_string())
    }
}
