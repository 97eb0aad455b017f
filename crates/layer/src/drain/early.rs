//! [`EarlyResponse`]: a response that is sent after the unread request body has been drained within limits.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Buf as _;
use http::{
    HeaderMap, HeaderValue, Request, Response, Version,
    header::{CONNECTION, EXPECT},
};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

/// A response that does not need the request body, but waits until the body is drained within the limits of [`Rest`].
pub(crate) struct EarlyResponse<B, C>(Pin<Box<Waiting<B, C>>>);

pin_project! {
    struct Waiting<B, C> {
        response: Option<Response<C>>,
        // `None` if there is nothing to wait for.
        #[pin]
        rest: Option<Rest<B>>,
    }
}

impl<B: Body, C> EarlyResponse<B, C> {
    /// Creates the response to `request`, whose body has not been read.
    pub(crate) fn new(request: Request<B>, mut response: Response<C>) -> Self {
        let (parts, body) = request.into_parts();
        if !is_needed(parts.version, &body) {
            return Self(Box::pin(Waiting { response: Some(response), rest: None }));
        }
        if expects_continue(&parts.headers) {
            // RFC 9110 section 10.1.1: after a final response instead of `100 Continue`, the client may or may not send the body,
            // and the server cannot know which.
            close(&mut response, parts.version);
            return Self(Box::pin(Waiting { response: Some(response), rest: None }));
        }
        Self::after(body, response)
    }

    /// Creates a response that is sent after the rest of `body`, a body of HTTP/1.
    pub(super) fn after(body: B, response: Response<C>) -> Self {
        Self(Box::pin(Waiting { response: Some(response), rest: Some(Rest::new(body)) }))
    }
}

impl<B: Body, C> Future for EarlyResponse<B, C> {
    type Output = Response<C>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<C>> {
        let mut this = self.0.as_mut().project();
        let is_read = match this.rest.as_mut().as_pin_mut() {
            Some(rest) => ready!(rest.poll(cx)),
            None => true,
        };
        // The body is dropped before the response is sent.
        this.rest.set(None);
        let mut response = this.response.take().expect("polled after completion");
        if !is_read {
            close(&mut response, Version::HTTP_11);
        }
        Poll::Ready(response)
    }
}

/// Announces that the connection ends with `response` to a request of `version`. HTTP/2 forbids the header.
pub(crate) fn close<C>(response: &mut Response<C>, version: Version) {
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Reports whether `response` announces that the connection ends with it.
pub(super) fn closes_connection<C>(response: &Response<C>) -> bool {
    response.headers().get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

impl<B, C> fmt::Debug for EarlyResponse<B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EarlyResponse").field("rest", &self.0.rest).finish_non_exhaustive()
    }
}

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
