//! Answers: JSON and pages, never kept by anybody.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

/// An answer of any endpoint.
pub(crate) type Answer = Response;

/// `body` as JSON that nobody keeps. RFC 6749 section 5.1.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(body).expect("an answer is plain data");
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    no_store(answer.headers_mut());
    answer
}

/// `body` as JSON that everybody may read, and keep for a while.
pub(crate) fn public(body: &impl Serialize, content_type: &'static str, cache_control: HeaderValue) -> Answer {
    let mut answer = json(StatusCode::OK, body);
    let headers = answer.headers_mut();
    headers.remove(header::PRAGMA);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, cache_control);
    answer
}

/// What it is about is for one client, once.
pub(crate) fn no_store(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}
