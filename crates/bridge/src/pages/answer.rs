//! A page as an answer, and what keeps it from being misused.

use askama::Template;
use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};

use crate::answer::{Answer, no_store};

/// How much other places learn of where the browser comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Referrer {
    /// Nothing.
    Nobody,
    /// We do. Without it, browsers say of a form that it comes from nowhere (`ClientSource: null`), which anybody can bring about.
    OwnOrigin,
}

/// `page` as an answer: it is kept by nobody, framed by nobody, runs no scripts, loads nothing, and its forms go to us alone.
///
/// There is no `Cross-ClientSource-Opener-Policy`: a client that opened the login in a window would lose it for good.
pub(super) fn page(
    status: StatusCode,
    page: &impl Template,
    content_security_policy: &HeaderValue,
    referrer: Referrer,
) -> Answer {
    let html = page.render().expect("the templates are compiled, and text takes them all");
    let mut answer = Response::new(Body::from(html));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    let referrer = match referrer {
        Referrer::Nobody => "no-referrer",
        Referrer::OwnOrigin => "same-origin",
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, content_security_policy.clone());
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static(referrer));
    no_store(headers);
    answer
}
