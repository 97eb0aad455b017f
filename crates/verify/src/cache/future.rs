//! [`CacheFuture`]: the future of a [`Cache`](super::Cache).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use portcullis_core::Reason;
use portcullis_remote::SharedTask;

use super::store::Outcome;

/// Future for [`Cache`](super::Cache). Dropping it does not cancel the resolution that it waits for.
#[must_use = "futures do nothing unless polled"]
pub struct CacheFuture(State);

enum State {
    /// Empty once it has been returned.
    Ready(Option<Outcome>),
    Waiting(SharedTask<Outcome>),
}

impl CacheFuture {
    pub(super) const fn ready(outcome: Outcome) -> Self {
        Self(State::Ready(Some(outcome)))
    }

    pub(super) const fn waiting(resolution: SharedTask<Outcome>) -> Self {
        Self(State::Waiting(resolution))
    }
}

impl Future for CacheFuture {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.0 {
            State::Ready(outcome) => Poll::Ready(outcome.take().expect("a future is not polled after it was done")),
            State::Waiting(resolution) => {
                let outcome = ready!(Pin::new(resolution).poll(cx));
                // A context that was invalidated after its resolution must not be returned to a caller that is still waiting.
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
