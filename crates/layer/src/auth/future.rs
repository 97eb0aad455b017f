//! [`ResponseFuture`]: one request on its way through the gate.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_core::{BearerToken, VerifyToken};
use tower_service::Service;

use super::gate::{Entrance, Gate, Passage};
use crate::{ResponseBody, drain::Early};

pin_project! {
    /// Future for [`Auth`](crate::Auth).
    ///
    /// Nothing happens before it is polled. Dropping it drops what it waits for: the inner service's future, and the
    /// wait for the verifier, though not a resolution that others share.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, V, B>
    where
        S: Service<Request<B>>,
        V: Service<BearerToken>,
    {
        inner: S,
        verifier: V,
        // It stays in its place until the inner service is called: requests are large, and moving them is what a hit
        // would spend its time on.
        request: Option<Request<B>>,
        gate: Arc<Gate>,
        #[pin]
        state: State<S::Future, V::Future, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<R, W, B> {
        Enter,
        Ready { token: Option<BearerToken> },
        Verify { #[pin] verifying: W, token: Option<BearerToken> },
        Call { #[pin] responding: R, passage: Option<Passage> },
        Answer { early: Early<B, Bytes> },
    }
}

impl<S, V, B> ResponseFuture<S, V, B>
where
    S: Service<Request<B>>,
    V: Service<BearerToken>,
{
    pub(super) const fn new(inner: S, verifier: V, request: Request<B>, gate: Arc<Gate>) -> Self {
        Self { inner, verifier, request: Some(request), gate, state: State::Enter }
    }
}

impl<S, V, B, C> Future for ResponseFuture<S, V, B>
where
    S: Service<Request<B>, Response = Response<C>>,
    V: VerifyToken<Future: Send> + Clone + Send + 'static,
    B: Body,
    C: Body,
{
    type Output = Result<Response<ResponseBody<C>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                // ## Enter => (Ready | Call | Answer)
                //
                // The request says by itself whether it needs a token and has one.
                StateProjection::Enter => match this.gate.enter(waiting(this.request)) {
                    Entrance::Verify(token) => this.state.set(State::Ready { token: Some(token) }),
                    Entrance::Pass => {
                        let responding = this.inner.call(arrived(this.request));
                        this.state.set(State::Call { responding, passage: None });
                    }
                    Entrance::Metadata => {
                        let response = this.gate.metadata(waiting(this.request).method());
                        this.state.set(State::Answer { early: Early::new(arrived(this.request), response) });
                    }
                    Entrance::Reject(error) => {
                        let response = this.gate.reject(error);
                        this.state.set(State::Answer { early: Early::new(arrived(this.request), response) });
                    }
                },
                // ## Ready => (Verify | Answer)
                //
                // The verifier's readiness is awaited here, by the request that needs it.
                StateProjection::Ready { token } => match ready!(this.verifier.poll_ready(cx)) {
                    Ok(()) => {
                        let token = token.take().expect("polled after it was done");
                        let of_stream = this.gate.token_of_stream(&token);
                        let verifying = this.verifier.call(token);
                        this.state.set(State::Verify { verifying, token: of_stream });
                    }
                    Err(error) => {
                        let response = this.gate.reject(error);
                        this.state.set(State::Answer { early: Early::new(arrived(this.request), response) });
                    }
                },
                // ## Verify => (Call | Answer)
                //
                // Somebody finds out whose token it is. A remembered one is known at the first poll.
                StateProjection::Verify { verifying, token } => {
                    let verified = ready!(verifying.poll(cx)).map_err(Into::into);
                    match verified.and_then(|user| this.gate.admit(waiting(this.request), user, token.take())) {
                        Ok(passage) => {
                            let responding = this.inner.call(arrived(this.request));
                            this.state.set(State::Call { responding, passage: Some(passage) });
                        }
                        Err(refusal) => {
                            let response = this.gate.reject(refusal);
                            this.state.set(State::Answer { early: Early::new(arrived(this.request), response) });
                        }
                    }
                }
                // ## Call => done
                StateProjection::Call { responding, passage } => {
                    let response = ready!(responding.poll(cx))?;
                    return Poll::Ready(Ok(this.gate.leave(response, passage.take(), this.verifier)));
                }
                // ## Answer => done
                //
                // The gate answers by itself, as soon as the connection can be used again.
                StateProjection::Answer { early } => {
                    return Pin::new(early).poll(cx).map(|response| Ok(response.map(ResponseBody::own)));
                }
            }
        }
    }
}

fn waiting<B>(request: &mut Option<Request<B>>) -> &mut Request<B> {
    request.as_mut().expect("polled after it was done")
}

fn arrived<B>(request: &mut Option<Request<B>>) -> Request<B> {
    request.take().expect("polled after it was done")
}

impl<S, V, B> fmt::Debug for ResponseFuture<S, V, B>
where
    S: Service<Request<B>>,
    V: Service<BearerToken>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
