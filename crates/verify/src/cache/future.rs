//! [`CacheFuture`]: an answer at once, or the wait for a resolution.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use portcullis_core::Reason;

use super::flights::{Flight, Outcome};

/// Future for [`Cache`](super::Cache). Dropping it cancels nothing: the resolution it waits for goes on.
#[must_use = "futures do nothing unless polled"]
pub struct CacheFuture(State);

enum State {
    /// Empty once it has been given out.
    Ready(Option<Outcome>),
    Waiting(Flight),
}

impl CacheFuture {
    pub(super) const fn ready(outcome: Outcome) -> Self {
        Self(State::Ready(Some(outcome)))
    }

    pub(super) const fn waiting(flight: Flight) -> Self {
        Self(State::Waiting(flight))
    }
}

impl Future for CacheFuture {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.0 {
            State::Ready(outcome) => Poll::Ready(outcome.take().expect("a future is not polled after it was done")),
            State::Waiting(flight) => {
                let outcome = ready!(Pin::new(flight).poll(cx));
                // What was withdrawn after it had been resolved lets nobody in who has not been told of it yet.
                Poll::Ready(outcome.and_then(|context| {
                    if context.revocation().is_revoked() { Err(Reason::Revoked.into()) } else { Ok(context) }
                }))
            }
        }
    }
}

impl fmt::Debug for CacheFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheFuture").finish_non_exhaustive()
    }
}
