//! UserInfo: a profile of the user to whom an access token belongs.
//!
//! This is the message of [OpenID Connect Core 1.0 section 5.3](https://openid.net/specs/openid-connect-core-1_0.html#UserInfo). Vendors
//! with profiles of their own format are handled by [`Provider::process_profile`](crate::providers::Provider::process_profile).

use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use portcullis_core::{AuthError, BearerToken, Issuer, Reason, UserContext, UserContextBuilder};
use serde_json::{Map, Value};

use crate::{
    Claims, ProtocolError,
    jwt::{HeaderCheckedJwt, HeaderPolicy, JwtPurpose, SignedJwt, UnverifiedJwt},
    response::{client_refused, error_code, json_object},
};

/// A user's profile, as the provider returns it for an access token. `Debug` prints the subject only.
///
/// It says *who* the user is. It does **not** say *for whom* the token was issued: every token of the user, issued to any client, returns
/// the same profile.
#[derive(Clone)]
pub struct Profile {
    pub(crate) subject: Box<str>,
    /// The subject that another member has replaced.
    pub(crate) replaced: Option<Box<str>>,
    pub(crate) members: Map<String, Value>,
    pub(crate) claims: Claims,
}

impl Profile {
    /// Returns the user's identifier at the provider: unique there, and never reassigned.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the member `sub`, with which the `sub` of an ID token must agree also if another member names the user; without one, the
    /// subject.
    #[must_use]
    pub fn sub(&self) -> &str {
        self.text("sub").unwrap_or(&self.subject)
    }

    /// Returns all members, under the names of OpenID Connect where the vendor has its own (`preferred_username`, `name`, `email`,
    /// `picture`).
    #[must_use]
    pub const fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// Returns the member `name`, if it is a string and not empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Returns the claims of the access token, where they say more about the user than the profile: Keycloak's roles. Else no claims.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Returns the members and the claims.
    #[must_use]
    pub fn into_parts(self) -> (Map<String, Value>, Claims) {
        (self.members, self.claims)
    }

    /// Replaces the subject by the member `member`; returns `None` if it is absent, empty or not a string.
    #[must_use]
    pub fn with_subject_member(mut self, member: &str) -> Option<Self> {
        let subject = self.text(member)?.into();
        self.replaced = Some(std::mem::replace(&mut self.subject, subject));
        Some(self)
    }

    /// Checks that the profile describes the user whom a token names `subject`. If [another member](Self::with_subject_member) names the user,
    /// the `sub` of the token, if it has one, must be the subject of the profile as well.
    ///
    /// [OpenID Connect Core 1.0 section 5.3.2](https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse)
    ///
    /// # Errors
    /// [`Reason::SubjectMismatch`].
    pub fn check_subject(&self, subject: &str, sub: Option<&Value>) -> Result<(), AuthError> {
        let is_other = |sub: &Value| self.replaced.as_ref().is_some_and(|own| *sub != **own);
        if *self.subject != *subject || sub.is_some_and(is_other) {
            let problem = "the token and the profile differ in the subject, or in `sub`";
            return Err(AuthError::new(Reason::SubjectMismatch).with_source(problem));
        }
        Ok(())
    }

    /// Returns a builder for the user of `issuer` whom the profile describes. The scopes and the expiry are those of the claims.
    ///
    /// Claims that cannot be read count as absent: they are no reason to reject a token that the provider has just accepted.
    pub fn into_user_context(self, issuer: Issuer) -> UserContextBuilder {
        let Self { subject, members, claims, .. } = self;
        let user = UserContext::builder(issuer, &subject).with_profile(members);
        let user = user.with_scopes(claims.scopes().unwrap_or_default());
        let expires_at = claims.expires_at().unwrap_or_default();
        expires_at.into_iter().fold(user, UserContextBuilder::with_expires_at).with_claims(claims.into_inner())
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// Returns a request to `endpoint` that is authorized by `token`.
#[must_use]
pub fn request(endpoint: &Uri, token: &BearerToken) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = endpoint.clone();
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::AUTHORIZATION, token.authorization());
    request
}

/// Returns the profile in `response`; its subject is the string `sub`.
///
/// A token is rejected by a 401, by the error code `invalid_token`, or by Salesforce's 403 `Bad_OAuth_Token`. Another 403 is a rate limit
/// if the headers say so, else a permission that this server lacks: no reason to make the user log in again. A signed response
/// (`application/jwt`) is read by [`process_any`].
///
/// # Errors
/// [`ProtocolError`].
pub fn process(response: &Response<Bytes>) -> Result<Profile, ProtocolError> {
    let members = refusal(response).map_or_else(|| json_object(response), Err)?;
    let subject = members.get("sub").and_then(Value::as_str).filter(|subject| !subject.is_empty());
    let subject = subject.ok_or(ProtocolError::InvalidMember("sub"))?.into();
    Ok(Profile { subject, replaced: None, members, claims: Claims::default() })
}

/// A response of a UserInfo endpoint.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the two forms of OpenID Connect Core 1.0 section 5.3.2; encrypted ones are rejected"
)]
pub enum UserInfoResponse {
    /// A JSON object.
    Plain(Profile),
    /// A signed JWT. Its signature is not verified.
    Signed(HeaderCheckedJwt),
}

/// Reads a response in JSON, as [`process`] does, or a signed one (`application/jwt`).
///
/// # Errors
/// [`ProtocolError`]; [`ProtocolError::InvalidJwt`] if the JWT is encrypted, signed by a shared secret, or not signed.
pub fn process_any(response: &Response<Bytes>) -> Result<UserInfoResponse, ProtocolError> {
    match signed(response)? {
        Some(jwt) => Ok(UserInfoResponse::Signed(jwt)),
        None => process(response).map(UserInfoResponse::Plain),
    }
}

/// Returns the JWT of a signed response; `None` for another response.
pub(crate) fn signed(response: &Response<Bytes>) -> Result<Option<HeaderCheckedJwt>, ProtocolError> {
    const MAX_LEN: usize = 256 * 1024;
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if response.status() != StatusCode::OK || !essence.eq_ignore_ascii_case("application/jwt") {
        return Ok(None);
    }
    let token = std::str::from_utf8(response.body().trim_ascii()).ok().and_then(|text| BearerToken::new(text).ok());
    let token = token.ok_or(ProtocolError::InvalidJwt(Reason::MalformedToken))?;
    let policy = HeaderPolicy::new(JwtPurpose::UserInfo, "JWT").with_untyped_tokens();
    let jwt = UnverifiedJwt::parse(&token, MAX_LEN).and_then(|jwt| policy.check_header(jwt));
    jwt.map(Some).map_err(|error| ProtocolError::InvalidJwt(error.reason()))
}

/// Returns the profile in a signed response of `issuer`, whose signature is verified; its subject is the string `sub`.
///
/// `iss` must be the issuer, if it is present. `aud` is not checked: the response was received from the endpoint itself.
///
/// # Errors
/// [`ProtocolError`].
pub fn process_signed(issuer: &Issuer, jwt: SignedJwt) -> Result<Profile, ProtocolError> {
    let claims = signed_claims(issuer, jwt)?;
    let subject = claims.subject().ok().flatten().ok_or(ProtocolError::InvalidMember("sub"))?.into();
    Ok(Profile { subject, replaced: None, members: claims.into_inner(), claims: Claims::default() })
}

/// Returns the claims of a signed response of `issuer`.
pub(crate) fn signed_claims(issuer: &Issuer, jwt: SignedJwt) -> Result<Claims, ProtocolError> {
    let claims = jwt.into_claims(JwtPurpose::UserInfo).map_err(|error| ProtocolError::InvalidJwt(error.reason()))?;
    let found = claims.issuer().map_err(|_| ProtocolError::InvalidMember("iss"))?;
    if let Some(found) = found.filter(|found| *found != issuer.as_str()) {
        return Err(ProtocolError::WrongIssuer { expected: issuer.as_str().to_owned(), found: found.to_owned() });
    }
    Ok(claims)
}

/// Returns the error in a response that rejects the token, or this server.
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
    use crate::providers::Provider;

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
    fn each_provider_has_its_subject() {
        let token = BearerToken::new("t0ken").expect("token");
        let github = |body: &str| Provider::github().process_profile(&json(body), &token);
        let body = r#"{"sub":"alice","id":42,"login":"al"}"#;
        assert_eq!(process(&json(body)).expect("profile").subject(), "alice");
        assert_eq!(github(body).expect("profile").subject(), "42");
        for body in ["{}", r#"{"sub":""}"#, r#"{"sub":7,"id":"42"}"#, r#"{"sub":null,"id":-1}"#, r#"{"id":1.5}"#] {
            assert_eq!(process(&json(body)).expect_err(body), ProtocolError::InvalidMember("sub"));
            assert_eq!(github(body).expect_err(body), ProtocolError::InvalidMember("id"));
        }
    }

    #[test]
    fn a_dead_token_a_missing_permission_and_a_rate_limit_are_distinguished() {
        let refused =
            |status, headers: &[(&str, &str)], body| process(&response(status, headers, body)).expect_err("refused");
        assert_eq!(refused(401, &[], ""), ProtocolError::TokenRefused);
        assert_eq!(refused(403, &[], "Bad_OAuth_Token\n"), ProtocolError::TokenRefused);
        assert_eq!(refused(400, &[], r#"{"error":"invalid_token"}"#), ProtocolError::TokenRefused);
        let limited =
            |seconds: Option<u64>| ProtocolError::RateLimited { retry_after: seconds.map(Duration::from_secs) };
        assert_eq!(refused(403, &[("x-ratelimit-remaining", "0")], "{}"), limited(None));
        assert_eq!(refused(403, &[("retry-after", "60")], "{}"), limited(Some(60)));
        assert_eq!(refused(429, &[], ""), limited(None));
        for body in [
            r#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}"#,
            r#"{"error":{"errors":[{"domain":"usageLimits","reason":"userRateLimitExceeded"}],"code":403}}"#,
            r#"{"error":{"errors":[{"domain":"usageLimits","reason":"rateLimitExceeded"}],"code":403}}"#,
        ] {
            assert_eq!(refused(403, &[("x-ratelimit-remaining", "10")], body), limited(Some(60)), "{body}");
        }
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
    fn a_response_that_is_not_json_is_a_provider_error() {
        let signed = response(200, &[("content-type", "application/jwt")], "eyJ.eyJ.x");
        let error = process(&signed).expect_err("signed");
        assert!(matches!(error, ProtocolError::NotJson { .. }));
    }
}
