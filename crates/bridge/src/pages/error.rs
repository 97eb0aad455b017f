//! The error page of the login.

use askama::Template;
use axum::response::Response;
use http::{StatusCode, header};

use super::{Referrer, STYLE, page};
use crate::oauth_error::{ErrorCode, OAuthError};

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    style: &'static str,
    heading: &'static str,
    description: String,
    code: &'static str,
    link: Option<ErrorLink<'a>>,
}

/// A link on the error page.
pub(crate) struct ErrorLink<'a> {
    text: String,
    url: &'a str,
}

impl<'a> ErrorLink<'a> {
    /// Creates a link that starts the login again.
    pub(crate) fn start_again(url: &'a str) -> Self {
        Self { text: "Start again".to_owned(), url }
    }

    /// Creates a link that reports the error to the client at `place`.
    pub(crate) fn return_to(place: &str, url: &'a str) -> Self {
        Self { text: format!("Return to {place}"), url }
    }
}

/// Creates the page of `error`.
pub(crate) fn error_page(error: &OAuthError, link: Option<ErrorLink<'_>>) -> Response {
    let heading = match error.code {
        ErrorCode::TemporarilyUnavailable => "Please try again in a moment",
        ErrorCode::AccessDenied => "Access denied",
        _ => "Sign-in failed",
    };
    let description = capitalized(&error.description);
    let failed = ErrorPage { style: STYLE, heading, description, code: error.code.as_str(), link };
    // A browser has no credentials to present, so status 401 becomes 400.
    let status = match error.status() {
        StatusCode::UNAUTHORIZED => StatusCode::BAD_REQUEST,
        status => status,
    };
    let mut response = page(status, &failed, Referrer::None);
    if let Some(seconds) = error.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Returns `text` with a capital first letter.
fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
