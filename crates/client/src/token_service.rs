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
use portcullis_core::AccessToken;
use tower::ServiceExt as _;
use tower_service::Service;

use crate::{
    AcquireError,
    attempt::{Attempt, Refusal},
    token_layer::Config,
};

/// The service of a [`TokenLayer`](crate::TokenLayer).
///
/// It is ready when the inner service is: a request whose token is at hand is sent at once. A request that has to wait for a token holds
/// no capacity of the inner service meanwhile, such as a permit of a concurrency limit: it gives the ready service back, and waits for
/// another one when it has its token. The same holds for a request that is repeated.
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
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
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
                        (Ok(response), Some(exchange)) => match exchange.refusal(&response) {
                            Some(refusal) => {
                                let outcome = Box::pin(exchange.recover(response, refusal));
                                state.set(State::Recovering { outcome });
                            }
                            None => return Poll::Ready(Ok(response)),
                        },
                        (outcome, _) => return Poll::Ready(outcome),
                    }
                }
                Step::Recovering { outcome } => return outcome.as_mut().poll(cx),
            }
        }
    }
}

/// Sends a request through `inner`, which is ready: at once if its token is at hand.
fn start<S, B, R>(mut inner: S, config: Arc<Config>, request: Request<B>) -> State<S, B, S::Future, R, S::Error>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Clone + Send + 'static,
    R: Send + 'static,
{
    if request.headers().contains_key(header::AUTHORIZATION) || !config.target.covers(request.uri()) {
        return State::Sent { response: inner.call(request), exchange: None };
    }
    if let Some(token) = config.manager.fresh() {
        let mut exchange = Exchange::new(inner, config, request.uri().clone());
        return State::Sent { response: exchange.send_first(request, Some(token)), exchange: Some(exchange) };
    }
    // A login may take minutes: the ready service, with the capacity that it holds, is dropped. A clone holds none.
    let mut exchange = Exchange::new(inner.clone(), config, request.uri().clone());
    let outcome = async move {
        let token = exchange.config.manager.token_of_request().await.map_err(ClientError::Token)?;
        exchange.inner.ready().await.map_err(ClientError::Service)?;
        let response = exchange.send_first(request, token).await.map_err(ClientError::Service)?;
        match exchange.refusal(&response) {
            Some(refusal) => exchange.recover(response, refusal).await,
            None => Ok(response),
        }
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
}

impl<S, B: Clone> Exchange<S, B> {
    fn new(inner: S, config: Arc<Config>, uri: Uri) -> Self {
        Self { inner, config, uri, copy: None, attempt: Attempt::new(None, None) }
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
        self.attempt = Attempt::new(token, self.config.dpop.clone());
        self.send(parts, body)
    }

    fn send(&mut self, mut parts: Parts, body: B) -> S::Future
    where
        S: Service<Request<B>>,
    {
        self.attempt.present(&mut parts.headers, &parts.method, &parts.uri);
        self.inner.call(Request::from_parts(parts, body))
    }

    /// Returns how the resource refused the request, if something may be done about it.
    fn refusal<R>(&self, response: &Response<R>) -> Option<Refusal> {
        #[cfg(feature = "reqwest")]
        if response.extensions().get::<crate::attempt::FromElsewhere>().is_some() {
            return None;
        }
        self.attempt.refusal(&self.uri, response.status(), response.headers())
    }

    /// Repeats the request while another token or the nonce of the resource may help. Returns the last response.
    async fn recover<R>(mut self, mut response: Response<R>, mut refusal: Refusal) -> Outcome<R, S::Error>
    where
        S: Service<Request<B>, Response = Response<R>>,
    {
        loop {
            let manager = &self.config.manager;
            let Some((parts, body)) = self.copy.clone() else {
                self.attempt.give_up(manager, &refusal);
                return Ok(response);
            };
            if !self.attempt.recover(manager, &refusal).await.map_err(ClientError::Token)? {
                return Ok(response);
            }
            self.inner.ready().await.map_err(ClientError::Service)?;
            response = self.send(parts, body).await.map_err(ClientError::Service)?;
            match self.refusal(&response) {
                Some(again) => refusal = again,
                None => return Ok(response),
            }
        }
    }
}
