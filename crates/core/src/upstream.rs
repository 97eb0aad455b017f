//! [`Upstream`]: a user's way to the provider behind this server.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::{AccessToken, AuthError, Generation, GrantId, Reason, Revocation};

/// A user's way to the provider behind this server: access tokens that are fresh when they are handed out.
///
/// A handler asks when it needs a token, and reports one that the provider refused, once:
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
/// The error is an [`AuthError`]; a handler that returns it lets the gate answer 401, 403 or 503, with the right challenge.
#[derive(Clone, Default)]
pub struct Upstream {
    source: Option<Arc<dyn UpstreamSource>>,
    /// Instead of the source's own.
    revocation: Option<Arc<Revocation>>,
}

/// Where an [`Upstream`] gets its tokens: one grant. Implement it to bring token management of your own.
pub trait UpstreamSource: fmt::Debug + Send + Sync + 'static {
    /// A token that is not known to be dead.
    ///
    /// `refused` is the generation of a token that the provider refused. It starts a refresh if that token is still the current
    /// one; otherwise the current one is the answer.
    fn access_token(&self, refused: Option<Generation>) -> UpstreamFuture;

    /// Which grant it is: what is known of its user may be kept by it. Default: unknown, and nothing is kept.
    fn grant(&self) -> Option<GrantId> {
        None
    }

    /// Tells when the grant has ended, so that contexts made from it can be withdrawn at once. Default: nobody tells.
    fn revocation(&self) -> Option<Arc<Revocation>> {
        None
    }
}

impl Upstream {
    /// Tokens from `source`.
    #[must_use]
    pub fn new(source: impl UpstreamSource) -> Self {
        Self { source: Some(Arc::new(source)), revocation: None }
    }

    /// Whether there is a grant behind it. Without one every request for a token fails with [`Reason::NoUpstream`].
    #[must_use]
    pub const fn is_present(&self) -> bool {
        self.source.is_some()
    }

    /// The grant behind it, if there is one and its source says which.
    #[must_use]
    pub fn grant(&self) -> Option<GrantId> {
        self.source.as_ref()?.grant()
    }

    /// The same way for users whose contexts `revocation` withdraws: earlier than the grant ends, or without a grant. It is to
    /// [follow](Revocation::following) the one that there is.
    #[must_use]
    pub fn with_revocation(mut self, revocation: Arc<Revocation>) -> Self {
        self.revocation = Some(revocation);
        self
    }

    /// A way that leads nowhere, for users without a grant, whose contexts are withdrawn as if there were one.
    #[must_use]
    pub fn without_grant(self) -> Self {
        Self { revocation: self.revocation(), source: None }
    }

    /// A token that is not known to be dead: the present one, or a new one if the present one has expired or was refused.
    ///
    /// Dropping the future cancels no refresh.
    ///
    /// # Errors
    /// `InvalidToken` if the grant has ended and the user must log in again; `Unavailable` if nobody can tell.
    pub fn access_token(&self) -> UpstreamFuture {
        self.ask(None)
    }

    /// A token in place of `token`, which the provider refused. Use it once per request: if the new one is refused as well, a
    /// refresh does not help.
    ///
    /// It starts a refresh only if `token` is still the current one. A report is not believed about a token that came a moment ago
    /// in place of another refused one: it fails, and the token is still handed out to others. Either the provider refuses what it
    /// issues, or the call was refused for another reason; another refresh helps against neither.
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

    /// Tells when the contexts of its user are withdrawn: when the grant has ended, if not before. `None` if nobody tells.
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

/// Future for [`Upstream`]. A token that is at hand costs no allocation. Dropping it cancels no refresh.
#[must_use = "futures do nothing unless polled"]
pub struct UpstreamFuture(State);

type Outcome = Result<AccessToken, AuthError>;

enum State {
    /// Empty once it has been given out.
    Ready(Option<Outcome>),
    Waiting(Pin<Box<dyn Future<Output = Outcome> + Send>>),
}

impl UpstreamFuture {
    /// The answer is at hand.
    pub const fn ready(outcome: Result<AccessToken, AuthError>) -> Self {
        Self(State::Ready(Some(outcome)))
    }

    /// The answer comes later.
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
