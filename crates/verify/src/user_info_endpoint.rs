//! [`UserInfoEndpoint`]: the client of a provider's endpoint for profiles.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Uri};
use portcullis_core::{AuthError, BearerToken, Clock, Issuer, Reason};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{
    ProtocolError,
    providers::Provider,
    user_info::{self, Profile},
};
use portcullis_remote::{Endpoint, EndpointClient, EndpointKind};
use serde_json::Value;

/// The client of a provider's endpoint for profiles. Clones share one circuit breaker.
///
/// A profile says *who* the user of a token is. It does **not** say *for whom* the token was issued: for authentication, an
/// [`AudienceCheck`](crate::AudienceCheck) or another verifier is needed as well.
///
/// 1. A token that the provider rejects is [`Reason::Inactive`].
/// 2. A provider that fails is `Unavailable`, and gets one call per back-off window.
/// 3. Members that the profile of a [provider](Self::of_provider) lacks are requested as well (GitHub's e-mail address, Atlassian's sites).
///    If the token does not permit that, they are left out.
#[derive(Clone, Debug)]
pub struct UserInfoEndpoint {
    issuer: Issuer,
    source: Source,
    requests: EndpointClient,
    /// Instead of the subject of the profile.
    subject_claim: Option<Arc<str>>,
}

/// The format and the location of profiles.
#[derive(Clone, Debug)]
enum Source {
    /// UserInfo of OpenID Connect.
    Standard(Endpoint),
    /// A vendor's profile, at the endpoint of the provider.
    Provider(Arc<Provider>),
}

impl UserInfoEndpoint {
    /// Creates a client of the UserInfo endpoint of `issuer`, which is found in the issuer's metadata.
    ///
    /// [OpenID Connect Core 1.0 section 5.3](https://openid.net/specs/openid-connect-core-1_0.html#UserInfo)
    #[must_use]
    pub fn new(issuer: Issuer, egress: Egress) -> Self {
        let endpoint = Endpoint::discovered(issuer.clone(), EndpointKind::UserInfo, egress.clone());
        Self::from_source(issuer, Source::Standard(endpoint), egress)
    }

    /// Creates a client of the endpoint for profiles of `provider`, with the format of its vendor.
    #[must_use]
    pub fn of_provider(provider: impl Into<Arc<Provider>>, egress: Egress) -> Self {
        let provider = provider.into();
        Self::from_source(provider.issuer().clone(), Source::Provider(provider), egress)
    }

    fn from_source(issuer: Issuer, source: Source, egress: Egress) -> Self {
        let requests = EndpointClient::new(egress, RequestKind::new("userinfo"));
        Self { issuer, source, requests, subject_claim: None }
    }

    /// Sets the clock for a `Retry-After` that is a date. Default: [`SystemClock`](portcullis_core::SystemClock).
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.requests = self.requests.with_clock(clock);
        self
    }

    /// Sets the URL of the endpoint, instead of the one in the metadata or of the provider.
    #[must_use]
    pub fn with_url(mut self, url: Uri) -> Self {
        self.source = match self.source {
            Source::Standard(_) => Source::Standard(Endpoint::at(url)),
            Source::Provider(provider) => {
                Source::Provider(Arc::new(Arc::unwrap_or_clone(provider).with_userinfo_endpoint(url)))
            }
        };
        self
    }

    /// Sets the member that names the user, where the claims of the token name the user by the same member
    /// ([`IntrospectionPolicy::with_subject_claim`](portcullis_oauth::introspection::IntrospectionPolicy::with_subject_claim)). Default:
    /// the subject of the profile. A profile in which the member is absent, empty or not a string is rejected.
    #[must_use]
    pub fn with_subject_claim(mut self, member: &str) -> Self {
        self.subject_claim = Some(member.into());
        self
    }

    /// Sets the time for which a token is not presented again after a rejection that does not say whether the token or this server is
    /// rejected (a 403, say). Default: 5 s.
    ///
    /// Zero is for tokens that this server holds itself: there the owner of the tokens decides when to present one again.
    #[must_use]
    pub fn with_unclear_rejection_pause(mut self, pause: Duration) -> Self {
        self.requests = self.requests.with_unclear_refusal_pause(pause);
        self
    }

    /// Returns the issuer whose users the profiles describe.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Requests the profile of the user of `token`.
    ///
    /// # Errors
    /// `InvalidToken` if the provider rejects the token, else `Unavailable`.
    pub async fn profile(&self, token: &BearerToken) -> Result<Profile, AuthError> {
        let provider = match &self.source {
            Source::Standard(endpoint) => {
                return self.send(token, user_info::request(&endpoint.url().await?, token), user_info::process).await;
            }
            Source::Provider(provider) => provider,
        };
        let no_endpoint =
            || AuthError::new(Reason::ClientRefused).with_source("the provider has no endpoint for profiles");
        let request = provider.profile_request(token).ok_or_else(no_endpoint)?;
        let profile = self.send(token, request, |response| provider.process_profile(response, token)).await?;
        match provider.supplement_request(&profile, token) {
            Some(request) => self.send(token, request, |response| provider.process_supplement(profile, response)).await,
            None => Ok(profile),
        }
    }

    async fn send(
        &self,
        token: &BearerToken,
        request: Request<Bytes>,
        process: impl FnOnce(&Response<Bytes>) -> Result<Profile, ProtocolError>,
    ) -> Result<Profile, AuthError> {
        self.requests.verify(token, request, process).await
    }

    /// Returns the name of the user in `profile`.
    pub(crate) fn subject<'a>(&self, profile: &'a Profile) -> Result<&'a str, AuthError> {
        let Some(claim) = &self.subject_claim else { return Ok(profile.subject()) };
        profile.text(claim).ok_or_else(|| {
            let problem =
                format!("UserInfo of {} names no user: `{claim}` (`subject_claim`) is not a string", self.issuer);
            AuthError::new(Reason::NoSubject).with_source(problem)
        })
    }

    /// Checks that `profile` describes the user whom the token names `subject`. If the token names the user by another claim than `sub`,
    /// its `sub`, if present, must match as well.
    ///
    /// [OpenID Connect Core 1.0 section 5.3.2](https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse)
    pub(crate) fn check_subject(&self, profile: &Profile, subject: &str, sub: Option<&Value>) -> Result<(), AuthError> {
        let is_other = |sub: &Value| self.subject_claim.is_some() && sub != profile.subject();
        if self.subject(profile)? != subject || sub.is_some_and(is_other) {
            let claim = self.subject_claim.as_deref().unwrap_or("sub");
            let problem = format!("the token and UserInfo of {} differ in `{claim}` or `sub`", self.issuer);
            return Err(AuthError::new(Reason::SubjectMismatch).with_source(problem));
        }
        Ok(())
    }
}
