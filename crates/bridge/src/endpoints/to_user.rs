//! What a browser is told.

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};

use crate::{
    answer::{Answer, no_store},
    inner::Inner,
    login::{Problem, ResponseTarget},
    oauth_error::OAuthError,
    urls,
};

/// Sends a browser to `url`: by 303, so that nothing that was posted goes along
/// ([RFC 9700 section 4.12](https://www.rfc-editor.org/rfc/rfc9700#section-4.12)).
pub(super) fn redirect(url: &str) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    let headers = answer.headers_mut();
    if let Ok(mut location) = HeaderValue::try_from(url) {
        location.set_sensitive(true);
        headers.insert(header::LOCATION, location);
    }
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    no_store(headers);
    answer
}

/// Says why a login does not go on, to whom it may be said.
pub(super) fn tell(inner: &Inner, problem: Problem) -> Answer {
    match problem {
        Problem::Page(error) => inner.pages.error(&error),
        Problem::Again(error, query) => {
            let url = format!("{}?{query}", inner.urls.path(urls::AUTHORIZE));
            inner.pages.error_again(&error, &url)
        }
        Problem::Back(error, target) => {
            let url = target.with_error(&error, &inner.config.issuer);
            inner.pages.error_back(&error, target.redirect_uri.display_target(), &url)
        }
        Problem::Client(error, target) => tell_client(inner, &error, &target),
    }
}

/// Tells the client of an error.
pub(super) fn tell_client(inner: &Inner, error: &OAuthError, target: &ResponseTarget) -> Answer {
    redirect(&target.with_error(error, &inner.config.issuer))
}
