//! [`Rest`]: drains a request body within limits.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Buf as _;
use http::{HeaderMap, Version, header::EXPECT};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

/// The maximum number of bytes that are drained.
const MAX_BYTES: u64 = 256 * 1024;

/// The maximum time that a response waits for the rest of a body.
const MAX_TIME: Duration = Duration::from_secs(1);

/// Reports whether the connection can be used again only after the body has been read. HTTP/2 resets the one stream instead.
pub(super) fn is_needed<B: Body>(version: Version, body: &B) -> bool {
    version < Version::HTTP_2 && !body.is_end_stream()
}

/// Reports whether the client waits for `100 Continue` before it sends the body. Reading the body would request it.
pub(super) fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

pin_project! {
/// Reads a body and discards its frames. The output is whether the end was reached. It stops after
    /// [`MAX_BYTES`] and after [`MAX_TIME`], and at once if the size hint of the body is larger.
    pub(super) struct Rest<B> {
        #[pin]
        body: B,
        left: u64,
// Created when the body is pending for the first time.
        #[pin]
        limit: Option<Sleep>,
    }
}

impl<B> Rest<B> {
    pub(super) const fn new(body: B) -> Self {
        Self { body, left: MAX_BYTES, limit: None }
    }
}

impl<B: Body> Future for Rest<B> {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let mut this = self.project();
        loop {
            if this.body.size_hint().lower() > *this.left {
                return Poll::Ready(false);
            }
            match this.body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                    let Some(left) = this.left.checked_sub(bytes) else { return Poll::Ready(false) };
                    *this.left = left;
                }
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Pending => {
                    if this.limit.is_none() {
                        this.limit.set(Some(sleep(MAX_TIME)));
                    }
                    let limit = this.limit.as_mut().as_pin_mut().expect("set above");
                    ready!(limit.poll(cx));
                    return Poll::Ready(false);
                }
            }
        }
    }
}

impl<B> fmt::Debug for Rest<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").field("left", &self.left).finish_non_exhaustive()
    }
}
