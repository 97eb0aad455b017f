//! [`TokenService`]: the service of a [`TokenLayer`](crate::TokenLayer).

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, Uri, header, request::Parts};
use pin_project_lite::pin_project;
use portcullis_core::{AccessToken, Challenge};
use tower::ServiceExt as _;
use tower_service::Service;

use crate::{
    AcquireError, DpopKey,
    attempt::{Attempt, Scheme, token_challenge},
    token_layer::Config,
};

/// The service of a [`TokenLayer`](crate::TokenLayer).
#[derive(Clone)]
pub struct TokenService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> TokenService<S> {
    pub(crate) const fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
    }
}

impl<S: fmt::Debug> fmt::Debug for TokenService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenService").field("inner", &self.inner).field("config", &self.config).finish()
    }
}

impl<S, B, R> Service<Request<B>> for TokenService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Clone + Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = ClientError<S::Error>;
    type Future = ResponseFuture<S, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(ClientError::Service)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let next = self.inner.clone();
        let ready = mem::replace(&mut self.inner, next);
        ResponseFuture { state: State::Start { request: Some((ready, self.config.clone(), request)) } }
    }
}

/// An error of a [`TokenService`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError<E> {
    /// There is no access token for the request. It was not sent, or the resource refused it.
    #[error("no access token: {0}")]
    Token(#[source] AcquireError),
    /// The HTTP client failed.
    #[error(transparent)]
    Service(E),
}

pin_project! {
    /// Response future for [`TokenService`]. Nothing happens before it is polled; dropping it cancels no exchange of the manager.
    ///
    /// It allocates nothing for a request whose token is at hand and accepted, except for the copy of the request.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, S::Future, R, S::Error>,
    }
}

impl<S, B, R> fmt::Debug for ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

type Outcome<R, E> = Result<Response<R>, ClientError<E>>;

pin_project! {
    #[project = Step]
    enum State<S, B, F, R, E> {
        /// Not polled yet. The service is ready.
        Start { request: Option<(S, Arc<Config>, Request<B>)> },
        /// The request was sent; without an exchange, its response is passed on whatever it is.
        Sent { #[pin] response: F, exchange: Option<Exchange<S, B>> },
        /// A token has to be obtained, before the request or after its response.
        Recovering { outcome: Pin<Box<dyn Future<Output = Outcome<R, E>> + Send>> },
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Send + 'static,
    S::Future: Send + 'static,
    B: Clone + Send + 'static,
    R: Send + 'static,
{
    type Output = Outcome<R, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                Step::Start { request } => {
                    let (inner, config, request) = request.take().expect("it is taken once, to replace the state");
                    state.set(start(inner, config, request));
                }
                Step::Sent { response, exchange } => {
                    let response = ready!(response.poll(cx)).map_err(ClientError::Service);
                    match (response, exchange.take()) {
                        (Ok(response), Some(exchange)) if exchange.reacts_to(&response) => {
                            state.set(State::Recovering { outcome: Box::pin(exchange.recover(response)) });
                        }
                        (outcome, _) => return Poll::Ready(outcome),
                    }
                }
                Step::Recovering { outcome } => return outcome.as_mut().poll(cx),
            }
        }
    }
}

/// Sends a request, at once if its token is at hand.
fn start<S, B, R>(mut inner: S, config: Arc<Config>, request: Request<B>) -> State<S, B, S::Future, R, S::Error>
where
    S: Service<Request<B>, Response = Response<R>> + Send + 'static,
    S::Future: Send + 'static,
    B: Clone + Send + 'static,
    R: Send + 'static,
{
    if request.headers().contains_key(header::AUTHORIZATION) || !config.target.covers(request.uri()) {
        return State::Sent { response: inner.call(request), exchange: None };
    }
    let token = config.manager.fresh();
    let mut exchange = Exchange::new(inner, config, request.uri().clone());
    if let Some(token) = token {
        return State::Sent { response: exchange.send_first(request, Some(token)), exchange: Some(exchange) };
    }
    let outcome = async move {
        let token = exchange.config.manager.token_of_request().await.map_err(ClientError::Token)?;
        let response = exchange.send_first(request, token).await.map_err(ClientError::Service)?;
        exchange.recover(response).await
    };
    State::Recovering { outcome: Box::pin(outcome) }
}

/// A request to the resource with what is needed to repeat it.
struct Exchange<S, B> {
    inner: S,
    config: Arc<Config>,
    uri: Uri,
    /// `None`: it is not repeated.
    copy: Option<(Parts, B)>,
    attempt: Attempt,
    nonce_was_asked: bool,
}

impl<S, B: Clone> Exchange<S, B> {
    fn new(inner: S, config: Arc<Config>, uri: Uri) -> Self {
        Self { inner, config, uri, copy: None, attempt: Attempt::new(None), nonce_was_asked: false }
    }

    /// Sends the request through `inner`, which is ready.
    fn send_first(&mut self, request: Request<B>, token: Option<AccessToken>) -> S::Future
    where
        S: Service<Request<B>>,
    {
        let (parts, body) = request.into_parts();
        if self.config.replay.allows(&parts) {
            self.copy = Some((parts.clone(), body.clone()));
        }
        self.attempt = Attempt::new(token);
        self.send(parts, body)
    }

    fn send(&mut self, mut parts: Parts, body: B) -> S::Future
    where
        S: Service<Request<B>>,
    {
        match (self.attempt.token(), &self.config.dpop) {
            (Some(token), Some(key)) => key.authorize(&mut parts.headers, &parts.method, &parts.uri, token.token()),
            (Some(token), None) => {
                parts.headers.insert(header::AUTHORIZATION, token.authorization());
            }
            (None, _) => {}
        }
        self.inner.call(Request::from_parts(parts, body))
    }

    fn challenge<R>(&self, response: &Response<R>) -> Option<Challenge> {
        let scheme = if self.config.dpop.is_some() { Scheme::Dpop } else { Scheme::Bearer };
        token_challenge(response.status(), response.headers(), scheme)
    }

    /// Reports whether something has to be done because of `response`.
    fn reacts_to<R>(&self, response: &Response<R>) -> bool {
        if let Some(key) = &self.config.dpop {
            key.note_nonce(&self.uri, response.headers());
        }
        self.challenge(response).is_some()
    }

    /// Repeats the request while another token or the nonce of the resource may help. Returns the last response.
    async fn recover<R>(mut self, mut response: Response<R>) -> Outcome<R, S::Error>
    where
        S: Service<Request<B>, Response = Response<R>>,
    {
        while self.reacts_to(&response)
            && let Some(challenge) = self.challenge(&response)
        {
            let (manager, status) = (&self.config.manager, response.status());
            let Some((parts, body)) = self.copy.clone() else {
                self.attempt.give_up(manager, status);
                break;
            };
            let asks_for_nonce = self.config.dpop.is_some() && DpopKey::asks_for_nonce(status, response.headers());
            if asks_for_nonce && !self.nonce_was_asked {
                self.nonce_was_asked = true;
            } else if !self.attempt.recover(manager, status, &challenge).await.map_err(ClientError::Token)? {
                break;
            }
            self.inner.ready().await.map_err(ClientError::Service)?;
            response = self.send(parts, body).await.map_err(ClientError::Service)?;
        }
        Ok(response)
    }
}
