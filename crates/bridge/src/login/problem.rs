//! [`Problem`]: why a login does not go on, and who may be told.

use super::ResponseTarget;
use crate::oauth_error::OAuthError;

/// Why a login does not go on, and who may be told.
///
/// A browser is never sent by itself where nobody has said that it may go: an authorization server is no open redirector
/// ([RFC 9700 section 4.11.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.11.2)).
pub(crate) enum Problem {
    /// The user is told.
    Page(OAuthError),
    /// The user is told, and may begin anew by this query.
    Again(OAuthError, String),
    /// The user is told, and may go back and tell the client.
    Back(OAuthError, ResponseTarget),
    /// The client is told.
    Client(OAuthError, ResponseTarget),
}

impl From<OAuthError> for Problem {
    fn from(error: OAuthError) -> Self {
        Self::Page(error)
    }
}
