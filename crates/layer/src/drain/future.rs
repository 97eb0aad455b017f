//! [`DrainFuture`]: the future of one request through [`Drain`](super::Drain).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Response, Version};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::sync::oneshot::{Receiver, error::TryRecvError};

use super::{EarlyResponse, body::UnreadBody, close, early::closes_connection};

pin_project! {
    /// Future for [`Drain`](super::Drain).
    #[must_use = "futures do nothing unless polled"]
    pub struct DrainFuture<F, B, C> {
        #[pin]
        state: State<F, B, C>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, B, C> {
        Call { #[pin] responding: F, rest: Option<Receiver<UnreadBody<B>>>, expects_continue: bool },
        Drain { early: EarlyResponse<B, C> },
    }
}

impl<F, B, C> DrainFuture<F, B, C> {
    pub(super) const fn passed(responding: F) -> Self {
        Self { state: State::Call { responding, rest: None, expects_continue: false } }
    }

    pub(super) const fn watched(responding: F, rest: Receiver<UnreadBody<B>>, expects_continue: bool) -> Self {
        Self { state: State::Call { responding, rest: Some(rest), expects_continue } }
    }
}

impl<F, B, C, E> Future for DrainFuture<F, B, C>
where
    F: Future<Output = Result<Response<C>, E>>,
    B: Body,
{
    type Output = Result<Response<C>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                // ## Call => (Drain | done)
                StateProjection::Call { responding, rest, expects_continue } => {
                    let mut response = ready!(responding.poll(cx))?;
                    let Some(mut rest) = rest.take() else { return Poll::Ready(Ok(response)) };
                    // An inner layer has drained the body up to its limit, or the service ends the connection itself.
                    if closes_connection(&response) {
                        return Poll::Ready(Ok(response));
                    }
                    match rest.try_recv() {
                        // The body was read to its end.
                        Err(TryRecvError::Closed) => return Poll::Ready(Ok(response)),
                        // The client still waits for `100 Continue`, and may or may not send the body after this response.
                        Ok(left) if *expects_continue && !left.is_begun => {
                            close(&mut response, Version::HTTP_11);
                            return Poll::Ready(Ok(response));
                        }
                        Ok(left) => state.set(State::Drain { early: EarlyResponse::after(left.body, response) }),
                        // A task of the service is still reading the body, and may drop it at any time.
                        Err(TryRecvError::Empty) => {
                            close(&mut response, Version::HTTP_11);
                            return Poll::Ready(Ok(response));
                        }
                    }
                }
                // ## Drain => done
                StateProjection::Drain { early } => return Pin::new(early).poll(cx).map(Ok),
            }
        }
    }
}

impl<F, B, C> fmt::Debug for DrainFuture<F, B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainFuture").finish_non_exhaustive()
    }
}
