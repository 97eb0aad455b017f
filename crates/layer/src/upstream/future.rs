//! [`RequireUpstreamFuture`]: the future of one request through [`RequireUpstream`](crate::RequireUpstream).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use portcullis_core::UpstreamFuture;
use tower_service::Service;

use crate::{ResponseBody, drain::EarlyResponse, rejection::Rejection};

pin_project! {
    /// Future for [`RequireUpstream`](crate::RequireUpstream). Dropping it cancels no refresh.
    #[must_use = "futures do nothing unless polled"]
    pub struct RequireUpstreamFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, S::Future, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F, B> {
        Ask { asking: UpstreamFuture, waiting: Option<(S, Request<B>)> },
        Call { #[pin] responding: F },
        Rejected { early: EarlyResponse<B, Bytes> },
    }
}

impl<S, B> RequireUpstreamFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) const fn ask(asking: UpstreamFuture, inner: S, request: Request<B>) -> Self {
        Self { state: State::Ask { asking, waiting: Some((inner, request)) } }
    }

    pub(super) const fn call(responding: S::Future) -> Self {
        Self { state: State::Call { responding } }
    }

    pub(super) fn rejected(request: Request<B>, rejection: Rejection) -> Self
    where
        B: Body,
    {
        Self { state: State::Rejected { early: EarlyResponse::new(request, rejection.into_response()) } }
    }
}

impl<S, B, C> Future for RequireUpstreamFuture<S, B>
where
    S: Service<Request<B>, Response = Response<C>>,
    B: Body,
{
    type Output = Result<Response<ResponseBody<C>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                // ## Ask => (Call | Rejected)
                StateProjection::Ask { asking, waiting } => {
                    let asked = ready!(Pin::new(asking).poll(cx));
                    let (mut inner, request) = waiting.take().expect("polled after completion");
                    let next = match asked {
                        Ok(_) => State::Call { responding: inner.call(request) },
                        Err(error) => {
                            let response = Rejection::from(error).into_response();
                            State::Rejected { early: EarlyResponse::new(request, response) }
                        }
                    };
                    state.set(next);
                }
                // ## Call => done
                StateProjection::Call { responding } => {
                    return responding.poll(cx).map_ok(|response| response.map(ResponseBody::passed));
                }
                // ## Rejected => done
                StateProjection::Rejected { early } => {
                    return Pin::new(early).poll(cx).map(|response| Ok(response.map(ResponseBody::own)));
                }
            }
        }
    }
}

impl<S, B> fmt::Debug for RequireUpstreamFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireUpstreamFuture").finish_non_exhaustive()
    }
}
