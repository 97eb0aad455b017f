//! [`RequireScopeFuture`]: one request whose scopes were checked.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use pin_project_lite::pin_project;

use crate::{ResponseBody, rejection::Rejection};

pin_project! {
    /// Future for [`RequireScope`](crate::scope::RequireScope).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct RequireScopeFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F> {
        Call { #[pin] responding: F },
        Rejected { rejection: Option<Rejection> },
    }
}

impl<F> RequireScopeFuture<F> {
    pub(super) const fn call(responding: F) -> Self {
        Self { state: State::Call { responding } }
    }

    pub(super) const fn rejected(rejection: Rejection) -> Self {
        Self { state: State::Rejected { rejection: Some(rejection) } }
    }
}

impl<F, C, E> Future for RequireScopeFuture<F>
where
    F: Future<Output = Result<Response<C>, E>>,
{
    type Output = Result<Response<ResponseBody<C>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Call { responding } => {
                responding.poll(cx).map_ok(|response| response.map(ResponseBody::passed))
            }
            StateProjection::Rejected { rejection } => {
                let rejection = rejection.take().expect("polled after it was done");
                Poll::Ready(Ok(rejection.into_response()))
            }
        }
    }
}
