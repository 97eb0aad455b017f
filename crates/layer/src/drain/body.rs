//! [`DrainBody`]: a request body that returns its unread rest.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot::{self, Receiver, Sender};

/// The rest of a body that a service has not read.
pub(super) struct UnreadBody<B> {
    pub(super) body: B,
    /// Whether the service has begun to read the body.
    pub(super) is_begun: bool,
}

/// The request body of [`Drain`](super::Drain): it passes the frames on. If it is dropped before its end, the rest is drained before the
/// response is sent.
pub struct DrainBody<B> {
    /// `None` after it was dropped.
    body: Option<B>,
    is_begun: bool,
    /// Receives the rest; `None` if there is no rest.
    owner: Option<Sender<UnreadBody<B>>>,
}

impl<B> DrainBody<B> {
    /// Creates a body whose rest is not drained.
    pub(super) const fn passed(body: B) -> Self {
        Self { body: Some(body), is_begun: false, owner: None }
    }

    /// Creates a body that sends its rest to the receiver.
    pub(super) fn watched(body: B) -> (Self, Receiver<UnreadBody<B>>) {
        let (owner, rest) = oneshot::channel();
        (Self { body: Some(body), is_begun: false, owner: Some(owner) }, rest)
    }
}

impl<B: Body + Unpin> Body for DrainBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        this.is_begun = true;
        let body = this.body.as_mut().expect("the body is present until it is dropped");
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        if frame.is_none() || body.is_end_stream() {
            this.owner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl<B> Drop for DrainBody<B> {
    fn drop(&mut self) {
        if let (Some(owner), Some(body)) = (self.owner.take(), self.body.take()) {
            // If the request has ended, the receiver is gone and nothing is drained.
            drop(owner.send(UnreadBody { body, is_begun: self.is_begun }));
        }
    }
}

impl<B> fmt::Debug for DrainBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainBody").field("is_begun", &self.is_begun).finish_non_exhaustive()
    }
}
