//! [`Upstream`]: access to a user's tokens at the upstream provider.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::HeaderValue;

use crate::{AuthError, BearerToken, Generation, GrantId, Reason, Revocation, UnixTime};

/// A handle to a user's tokens at the upstream provider: access tokens that are fresh when they are returned.
///
/// A handler requests a token when it needs one, and reports a token that the provider rejected once:
///
/// ```
/// # use portcullis_core::{AuthError, Reason, UserContext};
/// # async fn call(token: &portcullis_core::AccessToken) -> http::StatusCode { http::StatusCode::OK }
/// async fn calendar(user: &UserContext) -> Result<http::StatusCode, AuthError> {
///     let token = user.upstream().access_token().await?;
///     let status = call(&token).await;
///     if status != http::StatusCode::UNAUTHORIZED {
///         return Ok(status);
///     }
///     let token = user.upstream().rejected(&token).await?;
///     Ok(call(&token).await)
/// }
/// ```
///
/// The error is an [`AuthError`]; if a handler returns it, the response is 401, 403 or 503 with the right challenge.
#[derive(Clone, Default)]
pub struct Upstream {
    source: Option<Arc<dyn UpstreamSource>>,
    /// Takes precedence over the revocation of the source.
    revocation: Option<Arc<Revocation>>,
}

/// A source of upstream tokens: one grant. Implement it for your own token management.
pub trait UpstreamSource: fmt::Debug + Send + Sync + 'static {
    /// Returns a token that is not known to be invalid.
    ///
    /// `refused` is the generation of a token that the provider rejected. A refresh is started if that token is still the current
    /// one; otherwise the current one is returned.
    fn access_token(&self, refused: Option<Generation>) -> UpstreamFuture;

    /// Returns the id of the grant, by which data about its user may be cached. Default: `None`, and nothing is cached.
    fn grant(&self) -> Option<GrantId> {
        None
    }

    /// Returns the revocation of the grant, which revokes the contexts that were built from it at once. Default: `None`.
    fn revocation(&self) -> Option<Arc<Revocation>> {
        None
    }
}

impl Upstream {
    /// Creates a handle that gets tokens from `source`.
    #[must_use]
    pub fn new(source: impl UpstreamSource) -> Self {
        Self { source: Some(Arc::new(source)), revocation: None }
    }

    /// Reports whether the user has a grant. Without one every request for a token fails with [`Reason::NoUpstream`].
    #[must_use]
    pub const fn is_present(&self) -> bool {
        self.source.is_some()
    }

    /// Returns the id of the grant, if there is a grant and its source has an id.
    #[must_use]
    pub fn grant(&self) -> Option<GrantId> {
        self.source.as_ref()?.grant()
    }

    /// Sets the revocation of the user's contexts, for users who are revoked before the grant ends or who have no grant. It must
    /// [follow](Revocation::following) the [present one](Self::revocation).
    #[must_use]
    pub fn with_revocation(mut self, revocation: Arc<Revocation>) -> Self {
        self.revocation = Some(revocation);
        self
    }

    /// Returns an `Upstream` without a token source: every request for a token fails with [`Reason::NoUpstream`]. The revocation stays.
    #[must_use]
    pub fn without_grant(self) -> Self {
        Self { revocation: self.revocation(), source: None }
    }

    /// Returns a token that is not known to be invalid: the current one, or a new one if the current one has expired or was rejected.
    ///
    /// Dropping the future cancels no refresh.
    ///
    /// # Errors
    /// `InvalidToken` if the grant has ended and the user must log in again; `Unavailable` if the token cannot be obtained at present.
    pub fn access_token(&self) -> UpstreamFuture {
        self.ask(None)
    }

    /// Returns a replacement for `token`, which the provider rejected. Call it once per request: if the new token is rejected as well,
    /// another refresh does not help.
    ///
    /// A refresh is started only if `token` is still the current one. A report about a token that was just issued to replace another
    /// rejected token is ignored: this call fails, and the token is still returned to other callers. Either the provider rejects the
    /// tokens that it issues, or the call was rejected for another reason; another refresh helps in neither case.
    ///
    /// # Errors
    /// As for [`access_token`](Self::access_token).
    pub fn rejected(&self, token: &AccessToken) -> UpstreamFuture {
        self.ask(Some(token.generation()))
    }

    fn ask(&self, refused: Option<Generation>) -> UpstreamFuture {
        match &self.source {
            Some(source) => source.access_token(refused),
            None => UpstreamFuture::ready(Err(AuthError::new(Reason::NoUpstream))),
        }
    }

    /// Returns the revocation of the user's contexts: they are revoked when the grant ends, if not before. `None` if there is none.
    #[must_use]
    pub fn revocation(&self) -> Option<Arc<Revocation>> {
        self.revocation.clone().or_else(|| self.source.as_ref()?.revocation())
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => f.debug_tuple("Upstream").field(source).finish(),
            None => f.write_str("Upstream(none)"),
        }
    }
}

/// Future for [`Upstream`]. A token that is available at once needs no allocation. Dropping the future cancels no refresh.
#[must_use = "futures do nothing unless polled"]
pub struct UpstreamFuture(State);

type Outcome = Result<AccessToken, AuthError>;

enum State {
    /// `None` once the outcome has been returned.
    Ready(Option<Outcome>),
    Waiting(Pin<Box<dyn Future<Output = Outcome> + Send>>),
}

impl UpstreamFuture {
    /// Creates a future that is ready with `outcome`.
    pub const fn ready(outcome: Result<AccessToken, AuthError>) -> Self {
        Self(State::Ready(Some(outcome)))
    }

    /// Creates a future that awaits `answer`.
    pub fn waiting(answer: impl Future<Output = Result<AccessToken, AuthError>> + Send + 'static) -> Self {
        Self(State::Waiting(Box::pin(answer)))
    }
}

impl Future for UpstreamFuture {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.0 {
            State::Ready(outcome) => Poll::Ready(outcome.take().expect("a future is not polled after it was done")),
            State::Waiting(answer) => answer.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for UpstreamFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamFuture").finish_non_exhaustive()
    }
}

/// A provider's access token, for calling the provider on behalf of the user.
///
/// Its `Debug` output is redacted. Request it when it is needed ([`Upstream::access_token`](crate::Upstream::access_token)) and do not
/// store it: only a token that was just returned is fresh.
#[derive(Clone, Debug)]
pub struct AccessToken {
    token: BearerToken,
    generation: Generation,
    expires_at: Option<UnixTime>,
}

impl AccessToken {
    /// Creates the access token of `generation` with its expiry, if that is known.
    #[must_use]
    pub const fn new(token: BearerToken, generation: Generation, expires_at: Option<UnixTime>) -> Self {
        Self { token, generation, expires_at }
    }

    /// Returns the token as a bearer token.
    #[must_use]
    pub const fn token(&self) -> &BearerToken {
        &self.token
    }

    /// Returns the value of the header `Authorization`, marked as sensitive.
    /// [RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750#section-2.1)
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        self.token.authorization()
    }

    /// Returns the text of the token. Every call is a place where it could leak.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.token.expose_secret()
    }

    /// Returns the generation: which token of the grant this is.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Returns the expiry, if it is known.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixTime> {
        self.expires_at
    }
}
