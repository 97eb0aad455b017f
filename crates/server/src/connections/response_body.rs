//! [`TrackedBody`]: a response's body, with whose end the request is over.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::activity::InFlight;

pin_project! {
    /// A response's body, with whose end the request is over.
    #[derive(Debug)]
    pub struct TrackedBody<B> {
        #[pin]
        body: B,
        request: InFlight,
    }
}

impl<B> TrackedBody<B> {
    pub(crate) const fn new(body: B, request: InFlight) -> Self {
        Self { body, request }
    }
}

impl<B: Body> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
