//! [`UserInfoEndpoint`]: the client of a provider's endpoint for profiles.

use std::{
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Uri;
use portcullis_core::{AuthError, BearerToken, Clock, Issuer, Reason};
use portcullis_egress::{Egress, RequestKind};
use portcullis_oauth::{
    ProtocolError,
    providers::Provider,
    user_info::{self, Profile, UserInfoResponse},
};

use crate::{CallError, Endpoint, EndpointClient, EndpointKind, RemoteKeySet};

/// The client of a provider's endpoint for profiles. Clones share one circuit breaker.
///
/// A profile says *who* the user of a token is. It does **not** say *for whom* the token was issued: every token of the user, issued to any
/// client, has the same profile.
///
/// 1. A token that the provider rejects is [`Reason::Inactive`].
/// 2. A provider that fails is `Unavailable`, and gets one call per back-off window.
/// 3. A signed response (`application/jwt`) is verified by the keys that the issuer publishes.
/// 4. Members that the profile of a [provider](Self::of_provider) lacks are requested as well (GitHub's e-mail address, Atlassian's sites).
///    If the provider does not permit that, or fails, the profile is used without them. A failure is logged once, until a request succeeds.
#[derive(Clone, Debug)]
pub struct UserInfoEndpoint {
    issuer: Issuer,
    source: Source,
    requests: EndpointClient,
    /// A circuit breaker of its own: supplements that fail do not stop profiles.
    supplements: EndpointClient,
    supplements_fail: Arc<AtomicBool>,
    /// Instead of the subject of the profile.
    subject_claim: Option<Arc<str>>,
}

/// The format and the location of profiles.
#[derive(Clone, Debug)]
enum Source {
    /// UserInfo of OpenID Connect, and the keys of signed responses.
    Standard(Endpoint, Box<RemoteKeySet>),
    /// A vendor's profile, at the endpoint of the provider, and the keys of signed responses.
    Provider(Arc<Provider>, Box<RemoteKeySet>),
}

impl UserInfoEndpoint {
    /// Creates a client of the UserInfo endpoint of `issuer`, which is found in the issuer's metadata.
    ///
    /// [OpenID Connect Core 1.0 section 5.3](https://openid.net/specs/openid-connect-core-1_0.html#UserInfo)
    #[must_use]
    pub fn new(issuer: Issuer, egress: Egress) -> Self {
        let endpoint = Endpoint::discovered(issuer.clone(), EndpointKind::UserInfo, egress.clone());
        let keys = RemoteKeySet::discovered(issuer.clone(), egress.clone());
        Self::from_source(issuer, Source::Standard(endpoint, Box::new(keys)), move |kind| {
            EndpointClient::new(egress.clone(), kind)
        })
    }

    /// Creates a client of the endpoint for profiles of `provider`, with the format of its vendor.
    #[must_use]
    pub fn of_provider(provider: impl Into<Arc<Provider>>, egress: Egress) -> Self {
        let provider = provider.into();
        let keys = match provider.jwks_uri() {
            Some(jwks_uri) => RemoteKeySet::at(jwks_uri.clone(), egress.clone()),
            None => RemoteKeySet::discovered(provider.issuer().clone(), egress.clone()),
        };
        let source = Source::Provider(Arc::clone(&provider), Box::new(keys));
        Self::from_source(provider.issuer().clone(), source, move |kind| {
            EndpointClient::new(egress.clone(), kind).with_provider(Arc::clone(&provider))
        })
    }

    fn from_source(issuer: Issuer, source: Source, client: impl Fn(RequestKind) -> EndpointClient) -> Self {
        let kind = RequestKind::new("userinfo");
        let (requests, supplements) = (client(kind), client(kind));
        Self { issuer, source, requests, supplements, supplements_fail: Arc::default(), subject_claim: None }
    }

    /// Sets the clock for a `Retry-After` that is a date. Default: [`SystemClock`](portcullis_core::SystemClock).
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.requests = self.requests.with_clock(Arc::clone(&clock));
        let (Source::Standard(_, keys) | Source::Provider(_, keys)) = &mut self.source;
        **keys = keys.as_ref().clone().with_clock(Arc::clone(&clock));
        self.supplements = self.supplements.with_clock(clock);
        self
    }

    /// Sets the URL of the endpoint, instead of the one in the metadata or of the provider.
    #[must_use]
    pub fn with_url(mut self, url: Uri) -> Self {
        self.source = match self.source {
            Source::Standard(_, keys) => Source::Standard(Endpoint::at(url), keys),
            Source::Provider(provider, keys) => {
                Source::Provider(Arc::new(Arc::unwrap_or_clone(provider).with_userinfo_endpoint(url)), keys)
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

    /// Presents a token again at once after a rejection that does not say whether the token or this server is rejected (a 403, say). It is
    /// for tokens that this server holds itself: their owner decides when to present one again. Default: a pause of 5 s.
    #[must_use]
    pub fn for_own_tokens(mut self) -> Self {
        self.requests = self.requests.with_unclear_refusal_pause(Duration::ZERO);
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
        let profile = match &self.source {
            Source::Standard(endpoint, keys) => {
                let request = user_info::request(&endpoint.url().await?, token);
                match self.requests.verify(token, request, user_info::process_any).await? {
                    UserInfoResponse::Plain(profile) => profile,
                    UserInfoResponse::Signed(jwt) => {
                        let jwt = keys.verified(jwt).await.map_err(of_provider)?;
                        user_info::process_signed(&self.issuer, jwt)?
                    }
                }
            }
            Source::Provider(provider, keys) => self.profile_of(provider, keys, token).await?,
        };
        let Some(claim) = &self.subject_claim else { return Ok(profile) };
        profile.with_subject_member(claim).ok_or_else(|| {
            let problem =
                format!("UserInfo of {} names no user: `{claim}` (`subject_claim`) is not a string", self.issuer);
            AuthError::new(Reason::NoSubject).with_source(problem)
        })
    }

    async fn profile_of(
        &self,
        provider: &Provider,
        keys: &RemoteKeySet,
        token: &BearerToken,
    ) -> Result<Profile, AuthError> {
        let no_endpoint =
            || AuthError::new(Reason::ClientRefused).with_source("the provider has no endpoint for profiles");
        let request = provider.profile_request(token).ok_or_else(no_endpoint)?;
        let process = |response: &_| provider.process_any_profile(response, token);
        let mut profile = match self.requests.verify(token, request, process).await? {
            UserInfoResponse::Plain(profile) => profile,
            UserInfoResponse::Signed(jwt) => {
                let jwt = keys.verified(jwt).await.map_err(of_provider)?;
                provider.process_signed_profile(jwt, token)?
            }
        };
        let Some(request) = provider.supplement_request(&profile, token) else { return Ok(profile) };
        let process = |response: &_| provider.process_supplement(&mut profile, response);
        match self.supplements.send(token, request, process).await {
            Err(CallError::Protocol(error @ ProtocolError::TokenRefused)) => return Err(error.into()),
            Ok(()) => self.supplements_fail.store(false, Ordering::Relaxed),
            Err(error) => {
                let (error, provider) = (AuthError::from(error), provider.name());
                if !self.supplements_fail.swap(true, Ordering::Relaxed) {
                    tracing::warn!(provider, reason = %error.reason(), source = error.source(), "a request for further members of a profile failed; users are accepted without them");
                }
            }
        }
        Ok(profile)
    }
}

/// Returns the error of a signed response whose signature is not verified: the token that was presented is not at fault.
fn of_provider(error: AuthError) -> AuthError {
    if error.is_transient() { error } else { ProtocolError::InvalidJwt(error.reason()).into() }
}
