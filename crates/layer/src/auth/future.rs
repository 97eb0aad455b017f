//! [`ResponseFuture`]: one request on its way through the gate.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_core::{BearerToken, VerifyToken};
use tower::util::Oneshot;
use tower_service::Service;

use super::gate::{Entrance, Gate, Passage};
use crate::ResponseBody;

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
        #[pin]
        state: State<S, V, B>,
        gate: Arc<Gate>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, V, B>
    where
        S: Service<Request<B>>,
        V: Service<BearerToken>,
    {
        Enter { arrived: Option<(S, V, Request<B>)> },
        Verify { #[pin] verifying: Oneshot<V, BearerToken>, waiting: Option<(S, Request<B>)> },
        Call { #[pin] responding: S::Future, passage: Option<Passage> },
    }
}

impl<S, V, B> ResponseFuture<S, V, B>
where
    S: Service<Request<B>>,
    V: Service<BearerToken>,
{
    pub(super) const fn new(inner: S, verifier: V, request: Request<B>, gate: Arc<Gate>) -> Self {
        Self { state: State::Enter { arrived: Some((inner, verifier, request)) }, gate }
    }
}

impl<S, V, B, C> Future for ResponseFuture<S, V, B>
where
    S: Service<Request<B>, Response = Response<C>>,
    V: VerifyToken,
    C: Body,
{
    type Output = Result<Response<ResponseBody<C>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                // ## Enter => (Verify | Call | done)
                //
                // The request says by itself whether it needs a token and has one.
                StateProjection::Enter { arrived } => {
                    let (mut inner, verifier, mut request) = arrived.take().expect("polled after it was done");
                    match this.gate.enter(&mut request) {
                        Entrance::Answer(response) => return Poll::Ready(Ok(response)),
                        Entrance::Pass => {
                            let responding = inner.call(request);
                            this.state.set(State::Call { responding, passage: None });
                        }
                        Entrance::Verify(token) => {
                            let verifying = Oneshot::new(verifier, token);
                            this.state.set(State::Verify { verifying, waiting: Some((inner, request)) });
                        }
                    }
                }
                // ## Verify => (Call | done)
                //
                // Somebody finds out whose token it is. A remembered one is known at the first poll.
                StateProjection::Verify { verifying, waiting } => {
                    let verified = ready!(verifying.poll(cx));
                    let (mut inner, mut request) = waiting.take().expect("polled after it was done");
                    let admitted = match verified {
                        Ok(user) => this.gate.admit(&mut request, user),
                        Err(error) => Err(error.into()),
                    };
                    match admitted {
                        Ok(passage) => {
                            let responding = inner.call(request);
                            this.state.set(State::Call { responding, passage: Some(passage) });
                        }
                        Err(refusal) => return Poll::Ready(Ok(this.gate.reject(refusal))),
                    }
                }
                // ## Call => done
                StateProjection::Call { responding, passage } => {
                    let response = ready!(responding.poll(cx))?;
                    return Poll::Ready(Ok(this.gate.leave(response, passage.take())));
                }
            }
        }
    }
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
