//! [`ResponseFuture`]: the future of one request through [`Auth`](crate::Auth).

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

use super::gate::{Admission, Gate, RequestInfo};
use crate::{ResponseBody, drain::EarlyResponse};

pin_project! {
    /// Future for [`Auth`](crate::Auth).
    ///
/// It does nothing before it is polled. Dropping it drops the future of the inner service or of the verifier, but not a resolution
    /// that other requests share.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, V, B>
    where
        S: Service<Request<B>>,
        V: Service<BearerToken>,
    {
        inner: S,
        verifier: V,
// The request stays in its place until the inner service is called: requests are large, and moves would dominate the
        // cost of a cache hit.
        request: Option<Request<B>>,
        gate: Arc<Gate>,
        #[pin]
        state: State<S::Future, V::Future, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<R, W, B> {
        Classify,
        Ready { token: Option<BearerToken> },
        Verify { #[pin] verifying: W, token: Option<BearerToken> },
        Call { #[pin] responding: R, info: Option<RequestInfo> },
        Respond { early: EarlyResponse<B, Bytes> },
    }
}

impl<S, V, B> ResponseFuture<S, V, B>
where
    S: Service<Request<B>>,
    V: Service<BearerToken>,
{
    pub(super) const fn new(inner: S, verifier: V, request: Request<B>, gate: Arc<Gate>) -> Self {
        Self { inner, verifier, request: Some(request), gate, state: State::Classify }
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
                // ## Classify => (Ready | Call | Respond)
                //
                // The request alone decides whether it needs a token and has one.
                StateProjection::Classify => match this.gate.classify(request_mut(this.request)) {
                    Admission::Verify(token) => this.state.set(State::Ready { token: Some(token) }),
                    Admission::Pass => {
                        let responding = this.inner.call(take_request(this.request));
                        this.state.set(State::Call { responding, info: None });
                    }
                    Admission::Metadata => {
                        let response = this.gate.metadata(request_mut(this.request).method());
                        this.state
                            .set(State::Respond { early: EarlyResponse::new(take_request(this.request), response) });
                    }
                    Admission::Reject(error) => {
                        let response = this.gate.reject(error);
                        this.state
                            .set(State::Respond { early: EarlyResponse::new(take_request(this.request), response) });
                    }
                },
                // ## Ready => (Verify | Respond)
                //
                // The request that needs the verifier awaits its readiness.
                StateProjection::Ready { token } => match ready!(this.verifier.poll_ready(cx)) {
                    Ok(()) => {
                        let token = token.take().expect("polled after completion");
                        let of_stream = this.gate.token_of_stream(&token);
                        let verifying = this.verifier.call(token);
                        this.state.set(State::Verify { verifying, token: of_stream });
                    }
                    Err(error) => {
                        let response = this.gate.reject(error);
                        this.state
                            .set(State::Respond { early: EarlyResponse::new(take_request(this.request), response) });
                    }
                },
                // ## Verify => (Call | Respond)
                //
                // The verifier resolves the token. A cached token is resolved at the first poll.
                StateProjection::Verify { verifying, token } => {
                    let verified = ready!(verifying.poll(cx)).map_err(Into::into);
                    match verified.and_then(|user| this.gate.authorize(request_mut(this.request), user, token.take())) {
                        Ok(info) => {
                            let responding = this.inner.call(take_request(this.request));
                            this.state.set(State::Call { responding, info: Some(info) });
                        }
                        Err(refusal) => {
                            let response = this.gate.reject(refusal);
                            this.state.set(State::Respond {
                                early: EarlyResponse::new(take_request(this.request), response),
                            });
                        }
                    }
                }
                // ## Call => done
                StateProjection::Call { responding, info } => {
                    let response = ready!(responding.poll(cx))?;
                    return Poll::Ready(Ok(this.gate.finish(response, info.take(), this.verifier)));
                }
                // ## Respond => done
                //
                // The layer responds itself, as soon as the connection can be used again.
                StateProjection::Respond { early } => {
                    return Pin::new(early).poll(cx).map(|response| Ok(response.map(ResponseBody::own)));
                }
            }
        }
    }
}

fn request_mut<B>(request: &mut Option<Request<B>>) -> &mut Request<B> {
    request.as_mut().expect("polled after completion")
}

fn take_request<B>(request: &mut Option<Request<B>>) -> Request<B> {
    request.take().expect("polled after completion")
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
