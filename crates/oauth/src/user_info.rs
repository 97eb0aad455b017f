//! Asking a provider who the user of a token is: OpenID Connect UserInfo, and the user endpoint of GitHub.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use portcullis_core::BearerToken;
use serde_json::{Map, Value};

use crate::{
    ProtocolError,
    response::{client_refused, error_code, json_object},
};

/// How a provider writes about a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum UserInfoFormat {
    /// [OpenID Connect Core 1.0 section 5.3](https://openid.net/specs/openid-connect-core-1_0.html#UserInfo): the subject
    /// is the string `sub`.
    #[default]
    OpenIdConnect,
    /// GitHub's `GET /user`: the subject is the number `id`. The name `login` can change hands and is for display.
    GitHub,
}

/// Where the name of the user stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SubjectMember {
    Text(&'static str),
    Number(&'static str),
}

impl SubjectMember {
    const fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Number(name) => name,
        }
    }

    fn read(self, members: &Map<String, Value>) -> Option<Box<str>> {
        let value = members.get(self.name())?;
        match self {
            Self::Text(_) => value.as_str().filter(|text| !text.is_empty()).map(Box::from),
            Self::Number(_) => value.as_u64().map(|number| number.to_string().into()),
        }
    }
}

/// What a provider says about the user of a token.
///
/// It says *who*, never *for whom*: every token of the user, issued to whatever client, gets the same answer. It is no
/// evidence that the token may be used here.
#[derive(Clone)]
pub struct UserInfo {
    subject: Box<str>,
    members: Map<String, Value>,
}

impl UserInfo {
    /// The user's name at the provider.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What the provider says in the member `name`, if that is a string and not empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Everything that the provider says.
    #[must_use]
    pub fn into_members(self) -> Map<String, Value> {
        self.members
    }
}

/// Prints the subject only.
impl std::fmt::Debug for UserInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserInfo").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// A request to `endpoint` with `token`.
#[must_use]
pub fn request(endpoint: &Uri, token: &BearerToken) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = endpoint.clone();
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::AUTHORIZATION, token.authorization());
    request
}

/// What `response` says about the user.
///
/// A token is refused by a 401, by the error code `invalid_token`, or by Salesforce's 403 `Bad_OAuth_Token`. Another 403
/// is a limit of the rate if the headers say so, else a missing permission of ours: no reason to send a user to log in
/// again. A signed answer (`application/jwt`) is not supported.
///
/// # Errors
/// [`ProtocolError`].
pub fn process(response: &Response<Bytes>, format: UserInfoFormat) -> Result<UserInfo, ProtocolError> {
    let subject = match format {
        UserInfoFormat::OpenIdConnect => SubjectMember::Text("sub"),
        UserInfoFormat::GitHub => SubjectMember::Number("id"),
    };
    process_as(response, subject)
}

/// As [`process`], with the name of the user in a member of the provider's own.
pub(crate) fn process_as(response: &Response<Bytes>, subject: SubjectMember) -> Result<UserInfo, ProtocolError> {
    if let Some(refusal) = refusal(response) {
        return Err(refusal);
    }
    let members = json_object(response)?;
    match subject.read(&members) {
        Some(subject) => Ok(UserInfo { subject, members }),
        None => Err(ProtocolError::InvalidMember(subject.name())),
    }
}

/// What a response says against the token, or against us.
pub(crate) fn refusal(response: &Response<Bytes>) -> Option<ProtocolError> {
    match response.status() {
        StatusCode::UNAUTHORIZED => Some(ProtocolError::TokenRefused),
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN => {
            let dead = response.body().trim_ascii() == b"Bad_OAuth_Token";
            let dead = dead || error_code(response).as_deref() == Some("invalid_token");
            Some(if dead { ProtocolError::TokenRefused } else { client_refused(response) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(Bytes::copy_from_slice(body.as_bytes())).expect("response")
    }

    fn json(body: &str) -> Response<Bytes> {
        response(200, &[("content-type", "application/json; charset=utf-8")], body)
    }

    #[test]
    fn the_token_goes_into_the_header_and_is_marked_as_a_secret() {
        let token = BearerToken::new("t0ken").expect("token");
        let request = request(&Uri::from_static("https://idp.example/userinfo"), &token);
        assert_eq!(request.method(), "GET");
        assert_eq!(request.headers()["authorization"], "Bearer t0ken");
        assert!(!format!("{request:?}").contains("t0ken"));
    }

    #[test]
    fn each_format_has_its_subject() {
        let body = r#"{"sub":"alice","id":42,"login":"al"}"#;
        let subject = |format| process(&json(body), format).map(|user| user.subject().to_owned());
        assert_eq!(subject(UserInfoFormat::OpenIdConnect).as_deref(), Ok("alice"));
        assert_eq!(subject(UserInfoFormat::GitHub).as_deref(), Ok("42"));
        for body in ["{}", r#"{"sub":""}"#, r#"{"sub":7,"id":"42"}"#, r#"{"sub":null,"id":-1}"#, r#"{"id":1.5}"#] {
            for format in [UserInfoFormat::OpenIdConnect, UserInfoFormat::GitHub] {
                let error = process(&json(body), format).expect_err(body);
                assert!(matches!(error, ProtocolError::InvalidMember(_)), "{body}");
            }
        }
    }

    #[test]
    fn a_dead_token_is_told_from_a_missing_permission_and_from_a_limit() {
        let refused = |status, headers: &[(&str, &str)], body| {
            process(&response(status, headers, body), UserInfoFormat::OpenIdConnect).expect_err("refused")
        };
        assert_eq!(refused(401, &[], ""), ProtocolError::TokenRefused);
        assert_eq!(refused(403, &[], "Bad_OAuth_Token\n"), ProtocolError::TokenRefused);
        assert_eq!(refused(400, &[], r#"{"error":"invalid_token"}"#), ProtocolError::TokenRefused);
        let limited =
            |seconds: Option<u64>| ProtocolError::RateLimited { retry_after: seconds.map(Duration::from_secs) };
        assert_eq!(refused(403, &[("x-ratelimit-remaining", "0")], "{}"), limited(None));
        assert_eq!(refused(403, &[("retry-after", "60")], "{}"), limited(Some(60)));
        assert_eq!(refused(429, &[], ""), limited(None));
        for body in
            [r#"{"error":"insufficient_scope"}"#, "Request forbidden by administrative rules", "Missing_OAuth_Token"]
        {
            let error = refused(403, &[("x-ratelimit-remaining", "10")], body);
            assert!(matches!(error, ProtocolError::ClientRefused { .. }), "{body}");
        }
        assert!(matches!(refused(503, &[], ""), ProtocolError::ServerError { .. }));
        assert!(matches!(refused(302, &[], ""), ProtocolError::UnexpectedStatus(_)));
    }

    #[test]
    fn what_is_not_json_is_the_providers_fault() {
        let signed = response(200, &[("content-type", "application/jwt")], "eyJ.eyJ.x");
        let error = process(&signed, UserInfoFormat::OpenIdConnect).expect_err("signed");
        assert!(matches!(error, ProtocolError::NotJson { .. }));
    }
}
