//! [`UserInfoEndpoint`]: where a provider says who the user of a token is.

use std::sync::Arc;

use http::Uri;
use portcullis_core::{AuthError, BearerToken, Clock, Issuer, Reason};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::user_info::{self, UserInfo, UserInfoFormat};
use serde_json::Value;

use crate::provider::Line;
use portcullis_remote::{Endpoint, EndpointKind};

/// Where a provider says who the user of a token is.
///
/// It says *who*, never *for whom*: to get in, a token needs an [`AudienceCheck`](crate::AudienceCheck) or a verifier of its
/// own as well.
#[derive(Clone, Debug)]
pub struct UserInfoEndpoint {
    issuer: Issuer,
    endpoint: Endpoint,
    line: Line,
    format: UserInfoFormat,
    /// Instead of the subject of the format.
    subject_claim: Option<Arc<str>>,
}

impl UserInfoEndpoint {
    /// The UserInfo endpoint of `issuer`, found in its metadata.
    #[must_use]
    pub fn new(issuer: Issuer, egress: Egress, clock: Arc<dyn Clock>) -> Self {
        Self {
            endpoint: Endpoint::discovered(issuer.clone(), EndpointKind::UserInfo, egress.clone()),
            issuer,
            line: Line::new(egress, clock, RequestKind::new("userinfo")),
            format: UserInfoFormat::default(),
            subject_claim: None,
        }
    }

    /// Asks at `url` instead of looking it up.
    #[must_use]
    pub fn with_url(mut self, url: Uri) -> Self {
        self.endpoint = Endpoint::at(url);
        self
    }

    /// How the provider writes about a user. Default: [`UserInfoFormat::OpenIdConnect`].
    #[must_use]
    pub const fn with_format(mut self, format: UserInfoFormat) -> Self {
        self.format = format;
        self
    }

    /// The member that names the user, where the claims of a token name the user by it as well
    /// ([`IntrospectionPolicy::with_subject_claim`](portcullis_oauth::introspection::IntrospectionPolicy::with_subject_claim)). Default:
    /// the subject of the format. Where it is absent, empty or not a string, the profile is of no user.
    #[must_use]
    pub fn with_subject_claim(mut self, member: &str) -> Self {
        self.subject_claim = Some(member.into());
        self
    }

    /// Whose users.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// How `user_info` names the user.
    pub(crate) fn subject<'a>(&self, user_info: &'a UserInfo) -> Result<&'a str, AuthError> {
        let Some(claim) = &self.subject_claim else { return Ok(user_info.subject()) };
        user_info.text(claim).ok_or_else(|| {
            let problem =
                format!("UserInfo of {} names no user: `{claim}` (`subject_claim`) is no string in it", self.issuer);
            AuthError::new(Reason::NoSubject).with_source(problem)
        })
    }

    /// Checks that `user_info` is of the user whom the token names `subject` and, if it does so by another claim, whom its `sub`
    /// names as well, if it has one.
    ///
    /// [OpenID Connect Core 1.0 section 5.3.2](https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse)
    pub(crate) fn check_subject(
        &self,
        user_info: &UserInfo,
        subject: &str,
        sub: Option<&Value>,
    ) -> Result<(), AuthError> {
        let is_other = |sub: &Value| self.subject_claim.is_some() && sub != user_info.subject();
        if self.subject(user_info)? != subject || sub.is_some_and(is_other) {
            let claim = self.subject_claim.as_deref().unwrap_or("sub");
            let problem = format!("the token and UserInfo of {} differ in `{claim}` or `sub`", self.issuer);
            return Err(AuthError::new(Reason::SubjectMismatch).with_source(problem));
        }
        Ok(())
    }

    pub(crate) async fn fetch(&self, token: &BearerToken) -> Result<UserInfo, AuthError> {
        let url = self.endpoint.url().await?;
        let format = self.format;
        self.line.send(token, user_info::request(&url, token), |response| user_info::process(response, format)).await
    }
}
