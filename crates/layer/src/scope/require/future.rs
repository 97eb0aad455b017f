//! [`RequireScopeFuture`]: the future of one request through [`RequireScope`](crate::scope::RequireScope).

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;

use crate::{ResponseBody, drain::EarlyResponse, rejection::Rejection};

pin_project! {
    /// Future for [`RequireScope`](crate::scope::RequireScope).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct RequireScopeFuture<F, B> {
        #[pin]
        state: State<F, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F, B> {
        Call { #[pin] responding: F },
        Rejected { early: EarlyResponse<B, Bytes> },
    }
}

impl<F, B: Body> RequireScopeFuture<F, B> {
    pub(super) const fn call(responding: F) -> Self {
        Self { state: State::Call { responding } }
    }

    pub(super) fn rejected(request: Request<B>, rejection: Rejection) -> Self {
        Self { state: State::Rejected { early: EarlyResponse::new(request, rejection.into_response()) } }
    }
}

impl<F, B, C, E> Future for RequireScopeFuture<F, B>
where
    B: Body,
    F: Future<Output = Result<Response<C>, E>>,
{
    type Output = Result<Response<ResponseBody<C>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Call { responding } => {
                responding.poll(cx).map_ok(|response| response.map(ResponseBody::passed))
            }
            StateProjection::Rejected { early } => {
                Pin::new(early).poll(cx).map(|response| Ok(response.map(ResponseBody::own)))
            }
        }
    }
}
