//! [`AuthorizeError`]: an error of a login, and who learns it.

use axum::response::{IntoResponse, Response};
use portcullis_core::Issuer;

use super::{AuthorizationRequest, ResponseTarget};
use crate::{
    oauth_error::OAuthError,
    pages::{ErrorLink, error_page},
    response::redirect,
    urls::{AUTHORIZE, Urls},
};

/// An error of a login, and who learns it.
///
/// The browser is redirected only to clients that the operator trusts, so that the bridge is not an open redirector
/// ([RFC 9700 section 4.11.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.11.2)).
#[derive(Debug)]
pub(crate) enum AuthorizeError {
    /// An error page.
    ShowPage(OAuthError),
    /// An error page with a link that starts the login again.
    ShowRestart { error: OAuthError, url: String },
    /// An error page with a link that reports the error to the client.
    ShowReturnLink { error: OAuthError, target: String, url: String },
    /// A redirect that reports the error to the client.
    Redirect { url: String },
}

impl AuthorizeError {
    /// Creates an error page with a link that starts the login again.
    pub(crate) fn restart(error: OAuthError, request: &AuthorizationRequest, urls: &Urls) -> Self {
        Self::ShowRestart { error, url: format!("{}?{}", urls.path(AUTHORIZE), request.query()) }
    }

    /// Creates an error page with a link that reports the error to the client at `target`.
    pub(crate) fn return_link(error: OAuthError, target: &ResponseTarget, issuer: &Issuer) -> Self {
        let url = target.with_error(&error, issuer);
        Self::ShowReturnLink { error, target: target.redirect_uri.display_target().to_owned(), url }
    }

    /// Creates a redirect that reports the error to the client at `target`.
    pub(crate) fn redirect(error: &OAuthError, target: &ResponseTarget, issuer: &Issuer) -> Self {
        Self::Redirect { url: target.with_error(error, issuer) }
    }
}

impl From<OAuthError> for AuthorizeError {
    fn from(error: OAuthError) -> Self {
        Self::ShowPage(error)
    }
}

impl IntoResponse for AuthorizeError {
    fn into_response(self) -> Response {
        match self {
            Self::ShowPage(error) => error_page(&error, None),
            Self::ShowRestart { error, url } => error_page(&error, Some(ErrorLink::start_again(&url))),
            Self::ShowReturnLink { error, target, url } => {
                error_page(&error, Some(ErrorLink::return_to(&target, &url)))
            }
            Self::Redirect { url } => redirect(&url),
        }
    }
}
