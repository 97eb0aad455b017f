//! The page that says why a login does not go on.

use askama::Template;
use http::{StatusCode, header};

use super::{
    Pages,
    answer::{Referrer, page},
};
use crate::{
    answer::Answer,
    oauth_error::{ErrorCode, OAuthError},
};

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    style: &'static str,
    heading: &'static str,
    description: String,
    code: &'static str,
    link: Option<Link<'a>>,
}

/// A way on from there.
pub(super) struct Link<'a> {
    text: String,
    url: &'a str,
}

impl Pages {
    /// Says why a login does not go on.
    pub(crate) fn error(&self, error: &OAuthError) -> Answer {
        self.error_with(error, None)
    }

    /// Says why a login does not go on, and where it can be begun anew.
    pub(crate) fn error_again(&self, error: &OAuthError, url: &str) -> Answer {
        self.error_with(error, Some(Link { text: "Start again".to_owned(), url }))
    }

    /// Says why a login does not go on, and how to get back to the client at `place`, and tell it.
    pub(crate) fn error_back(&self, error: &OAuthError, place: &str, url: &str) -> Answer {
        self.error_with(error, Some(Link { text: format!("Back to {place}"), url }))
    }

    fn error_with(&self, error: &OAuthError, link: Option<Link<'_>>) -> Answer {
        let heading = match error.code {
            ErrorCode::TemporarilyUnavailable => "Please try again in a moment",
            ErrorCode::AccessDenied => "Access was not granted",
            _ => "This login does not go on",
        };
        let description = capitalized(&error.description);
        let failed = ErrorPage { style: Self::STYLE, heading, description, code: error.code.as_str(), link };
        // Nobody is asked for credentials here: what would be 401 for a program is 400 for a browser.
        let status = match error.status() {
            StatusCode::UNAUTHORIZED => StatusCode::BAD_REQUEST,
            status => status,
        };
        let mut answer = page(status, &failed, &self.content_security_policy, Referrer::Nobody);
        if let Some(seconds) = error.retry_after() {
            answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        answer
    }
}

/// As a sentence begins.
fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
