//! The pages that a browser shows: plain HTML, no scripts.

use askama::Template;
use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_SECURITY_POLICY, X_FRAME_OPTIONS},
};
use serde_json::{Map, Value};
use url::Url;

use super::{
    super::{answer::body, state::State},
    request::AuthorizationRequest,
};

#[derive(Template)]
#[template(path = "login.html")]
struct Page<'a> {
    /// Why there is no login.
    refusal: Option<&'a str>,
    destination: String,
    users: Vec<User<'a>>,
}

struct User<'a> {
    subject: &'a str,
    name: &'a str,
    email: &'a str,
}

/// Who is it?
pub(super) fn login(state: &State, asked: &AuthorizationRequest) -> Response<Bytes> {
    let destination = Url::parse(&asked.redirect_uri).ok().and_then(|url| url.host_str().map(str::to_owned));
    let destination = destination.unwrap_or_else(|| asked.client_id.clone());
    let users = state.users.iter().map(|(subject, profile)| User::of(subject, profile)).collect();
    html(StatusCode::OK, &Page { refusal: None, destination, users })
}

/// What is wrong, for somebody who cannot be sent back to anybody.
pub(super) fn refusal(reason: &str) -> Response<Bytes> {
    html(StatusCode::BAD_REQUEST, &Page { refusal: Some(reason), destination: String::new(), users: Vec::new() })
}

impl<'a> User<'a> {
    fn of(subject: &'a str, profile: &'a Map<String, Value>) -> Self {
        let text = |name: &str| profile.get(name).and_then(Value::as_str);
        Self { subject, name: text("name").unwrap_or(subject), email: text("email").unwrap_or_default() }
    }
}

fn html(status: StatusCode, page: &Page<'_>) -> Response<Bytes> {
    let text = page.render().expect("a template writes to memory");
    let mut response = body(status, "text/html; charset=utf-8", text);
    // Not `form-action`: it would govern the way back to the client as well.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response.headers_mut().insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}
